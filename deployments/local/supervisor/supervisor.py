"""The process that runs a platform: it starts every part in order, waits, and stops them in the opposite order."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from dotenv import dotenv_values
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from deployments.local.errors import LocalPlatformError
from deployments.local.hosting.processes import Spawner
from deployments.local.hosting.servers import HttpServer
from deployments.local.hosting.state import PlatformStatus, StateFolder, policy_of
from deployments.local.supervisor.pipeline import Pipeline
from deployments.local.supervisor.services import Services

CLONE = Path(__file__).resolve().parents[3]

_log = logging.getLogger(__name__)


def supervise(
    folder: StateFolder, *, pipeline: bool, tell: Callable[[str], None], up: Callable[[], None] = lambda: None
) -> PlatformStatus:
    """Run a platform in this process, from its main thread, until SIGTERM or SIGINT.

    Args:
        folder: its state folder; what an earlier platform left there is removed first.
        pipeline: with Prefect's server and a worker.
        tell: told what is done, a line at a time.
        up: called when all is up and local.env is written.

    Returns:
        What was up.

    Raises:
        PlatformRunningError: another process runs one in this folder.
        PieceFailedError: a part did not start.
        KeyboardInterrupt: it was told to stop before it was up.
    """
    folder.make()
    lock = folder.take()
    try:
        policy = {**policy_of(dotenv_values(os.environ.get("PILOTAGE_ENV_FILE", ".env"))), **folder.read_policy()}
        folder.clean()
        folder.make()
        with _logging_to(folder.logs / "platform.log"), _Signals() as signals, ExitStack() as parts:
            supervisor = Supervisor(folder, parts, tell, policy)
            with signals.interrupting():
                status = supervisor.start(pipeline=pipeline)
                tell(f"the platform is up; its settings are in {folder.environment}")
                up()
            signals.told.wait()
            tell("the platform stops")
            # First of all, so that nobody is led to a platform that goes.
            folder.forget()
        return status
    finally:
        folder.clean()
        os.close(lock)


class Supervisor:
    """The parts of a platform; `parts` holds how each is stopped, `policy` what goes to local.env beside their own."""

    def __init__(
        self, folder: StateFolder, parts: ExitStack, tell: Callable[[str], None], policy: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._parts = parts
        self._tell = tell
        self._spawner = Spawner()
        self._services = Services(folder, self._spawner, parts, tell)
        self._lock = threading.Lock()
        self._started_at = datetime.now(UTC)

    def start(self, *, pipeline: bool) -> PlatformStatus:
        """Start every part, and write where they are."""
        self._services.start()
        self._pipeline = Pipeline(
            self._spawner,
            home=self._folder.services / "prefect",
            logs=self._folder.logs,
            clone=CLONE,
            environment=self._services.environment,
            settings=self._folder.environment,
        )
        self._parts.callback(self._pipeline.stop)
        self._control = HttpServer("control", _control(self))
        self._parts.enter_context(self._control)
        return self.start_pipeline() if pipeline else self._describe()

    def start_pipeline(self) -> PlatformStatus:
        """Start Prefect's parts where they do not run yet, and write where they are."""
        with self._lock:
            self._tell("Prefect: server, work pool and worker")
            self._pipeline.start()
            return self._describe()

    def _describe(self) -> PlatformStatus:
        services = self._services
        status = PlatformStatus(
            pid=os.getpid(),
            state=self._folder.path,
            started_at=self._started_at,
            neon_url=services.neon.url,
            vercel_url=services.vercel.url,
            slack_url=services.slack.url,
            production_url=services.production.url,
            control_url=self._control.url,
            prefect_api_url=self._pipeline.api_url,
        )
        # What somebody has written there since it was described last stays.
        policy = {**self._policy, **self._folder.read_policy()}
        self._folder.describe(status, {**policy, **services.environment, **self._pipeline.access})
        return status


def _control(supervisor: Supervisor) -> FastAPI:
    app = FastAPI(title="control", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/pipeline")
    def pipeline() -> Response:
        try:
            status = supervisor.start_pipeline()
        except LocalPlatformError as error:
            return PlainTextResponse(str(error), status_code=500)
        return JSONResponse(status.model_dump(mode="json"))

    return app


class _Signals:
    """SIGTERM and SIGINT: they set `told`; what takes long to start they interrupt; what stops they leave alone."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self._interrupts = False

    @contextmanager
    def interrupting(self) -> Generator[None]:
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def __enter__(self) -> Self:
        self._original = {number: signal.signal(number, self._tell) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._original.items():
            signal.signal(number, handler)

    def _tell(self, number: int, _frame: FrameType | None) -> None:
        self.told.set()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _logging_to(file: Path) -> Generator[None]:
    """Write this process's log to a file, and what its servers say but their requests."""
    handler = logging.FileHandler(file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
