"""HTTP servers of the local platform: each serves one application on loopback, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from deployments.local.errors import PieceFailedError

_START_S = 30
_GRACE_S = 2


class HttpServer:
    """An application on 127.0.0.1; `with` starts and stops it.

    Args:
        name: what it is called in errors and thread names.
        app: any ASGI application.
        port: 0 for a free one.
    """

    def __init__(self, name: str, app: ASGIApp, *, port: int = 0) -> None:
        self.name = name
        # Bound here, so that the address is known before the application is up, and nobody else can take it.
        # The protocol is named because asyncio sends without delay on sockets that name it, and on no others.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError as error:
            self._listener.close()
            raise PieceFailedError(name, f"port {port} of 127.0.0.1 cannot be had: {error.strerror}") from error
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            http="h11",
            ws="none",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name=f"server-{name}", daemon=True)

    @property
    def url(self) -> str:
        """Return the address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, and return when the application is up.

        Raises:
            PieceFailedError: the application did not start.
        """
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise PieceFailedError(self.name, "its server did not start")
            time.sleep(0.01)

    def ask_to_stop(self) -> None:
        """Stop taking requests soon; several servers asked at once stop side by side."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Stop, and return when the port is closed; open requests are given two seconds."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        # Outside the main thread uvicorn takes no signal handler: they are the supervisor's.
        self._server.run(sockets=[self._listener])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
