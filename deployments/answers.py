"""Answers read within a time and up to a size, whatever is at the other end.

A server that sends a byte a second keeps every single read alive, and a small compressed answer may unfold into
gigabytes: neither a timeout of reads nor the length that is announced holds that off.
"""

import contextlib
import socket
import ssl
import threading
import weakref
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import httpx

MIB = 2**20
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_FOLDED = {"gzip", "x-gzip", "deflate"}
_OF_THE_FOLDED_BODY = {"content-encoding", "content-length", "transfer-encoding"}


@cache
def trusted_certificates() -> ssl.SSLContext:
    """Whom to believe over TLS; read once a process, for reading takes as long as dozens of requests.

    Source: `SSL_CERT_FILE` or `SSL_CERT_DIR`, else what httpx brings.
    """
    return httpx.create_ssl_context()


class AnswerTooLarge(httpx.RequestError):
    """An answer goes on after as many bytes as are read of it."""


class _Stream(Protocol):
    def get_extra_info(self, info: str) -> Any: ...


class BoundedClient:
    """A client whose answers are whole within a time and not larger than a size, or an error of httpx.

    Args:
        client: how requests are sent. It is asked by one thread at a time where the time is to be kept to the letter:
            a connection that is used again counts as the one that is late.
        most_bytes: how much is read of an answer, after it is unfolded.
    """

    def __init__(self, client: httpx.Client, *, most_bytes: int) -> None:
        self._client = client
        self._most_bytes = most_bytes
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    def request(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        json: Any = None,
        content: bytes | str | None = None,
        params: Mapping[str, str | int | bool] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask, and read the whole answer.

        Raises:
            httpx.HTTPError: there was none, or not within `seconds`, or AnswerTooLarge.
        """
        request = self._client.build_request(method, path, json=json, content=content, params=params, headers=headers)
        with self._opened(request, seconds) as answer:
            body = b"".join(body_chunks(answer, self._most_bytes))
            kept = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_FOLDED_BODY]
            return httpx.Response(answer.status_code, headers=kept, content=body, request=request)

    @contextmanager
    def stream(
        self, method: str, path: str, *, seconds: float, params: Mapping[str, str | int | bool] | None = None
    ) -> Generator[httpx.Response]:
        """Ask, and leave it to the caller to read the answer with `body_chunks` or `lines`, all within `seconds`."""
        timeout = httpx.Timeout(seconds, connect=5.0)
        with self._opened(self._client.build_request(method, path, params=params, timeout=timeout), seconds) as answer:
            yield answer

    @contextmanager
    def _opened(self, request: httpx.Request, seconds: float) -> Generator[httpx.Response]:
        # Whoever folds an answer nevertheless is read as long as it unfolds to what is taken of one.
        request.headers["Accept-Encoding"] = "identity"
        late = threading.Event()

        def note(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                self._streams.add(info["return_value"])
                if late.is_set():
                    shut_down_connection(info["return_value"])

        def end() -> None:
            late.set()
            for stream in list(self._streams):
                shut_down_connection(stream)

        request.extensions["trace"] = note
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            answer = self._client.send(request, stream=True)
            try:
                yield answer
            finally:
                answer.close()
            if late.is_set():
                # An answer without a length ends where its connection does: also where that was us.
                raise httpx.ReadError("hung up")
        except httpx.TransportError as error:
            if late.is_set():
                raise httpx.ReadTimeout(f"no whole answer within {seconds:g} s", request=request) from error
            raise
        finally:
            timer.cancel()


def body_chunks(answer: httpx.Response, most_bytes: int) -> Iterator[bytes]:
    """The body of an answer that is opened and not read, piece by piece.

    Raises:
        AnswerTooLarge: it is larger than `most_bytes`, as it comes or unfolded.
        httpx.DecodingError: it is folded in a way that was not asked for and cannot be followed.
    """
    if answer.is_stream_consumed:
        yield answer.content
        return
    encoding = answer.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", *_FOLDED}:
        raise httpx.DecodingError(f"the answer is encoded as {encoding}, which was not asked for")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in _FOLDED else None
    came = gave = 0
    for raw in answer.iter_raw():
        came += len(raw)
        rest = raw
        while rest and came <= most_bytes and gave <= most_bytes:
            try:
                piece = inflater.decompress(rest, most_bytes + 1 - gave) if inflater else rest
            except zlib.error as error:
                raise httpx.DecodingError(f"the answer is not what it says: {error}") from error
            rest = inflater.unconsumed_tail if inflater else b""
            gave += len(piece)
            if gave <= most_bytes:
                yield piece
        if max(came, gave) > most_bytes:
            raise AnswerTooLarge(f"the answer is larger than {most_bytes / MIB:g} MiB")


def lines(answer: httpx.Response, *, longest: int, most_bytes: int) -> Iterator[str]:
    """The lines of an answer that is opened and not read, as they come.

    Raises:
        AnswerTooLarge: a line is longer than `longest`, or all are larger than `most_bytes`.
    """
    begun = b""
    for piece in body_chunks(answer, most_bytes):
        *whole, begun = (begun + piece).split(b"\n")
        if len(begun) > longest:
            raise AnswerTooLarge(f"a line of the answer is longer than {longest / MIB:g} MiB")
        yield from (line.decode(errors="replace") for line in whole)
    if begun:
        yield begun.decode(errors="replace")


def shut_down_connection(stream: _Stream) -> None:
    """End a connection: a close alone does not wake a thread that waits in recv, a shutdown does."""
    connected = stream.get_extra_info("socket")
    if connected is not None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
