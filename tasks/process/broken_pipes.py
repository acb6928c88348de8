"""Output that nobody reads any more is dropped, and the run goes on.

Source: a flow run's output is its worker's pipe. Where the worker is gone, a write raises BrokenPipeError, and rich,
which writes Prefect's log lines, answers that with SystemExit: a release would end between any two of its acts.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast


class PipeSafeStream:
    """A stream whose reader may be gone.

    Args:
        stream: the stream itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop what nobody reads."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._drop()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line, or drop what nobody reads."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or drop what nobody reads."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        # What is buffered, and what others write to the same descriptor, goes nowhere from now on.
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def survive_broken_pipes() -> None:
    """Let this process go on where its output breaks: its own streams, and those of every log handler."""
    # A process without a console has no streams at all.
    sys.stdout = sys.stdout and _guarded(sys.stdout)
    sys.stderr = sys.stderr and _guarded(sys.stderr)
    for handler in _handlers():
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            guarded = cast("logging.StreamHandler[Any]", handler)
            guarded.stream = _guarded(guarded.stream)
        # Prefect's handler writes through a console of rich's, which keeps its stream itself.
        console: Any = getattr(cast("object", handler), "console", None)
        if console is not None:
            console.file = _guarded(console.file)


def _guarded(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, PipeSafeStream) else cast("TextIO", PipeSafeStream(stream))


def _handlers() -> Iterator[logging.Handler]:
    known = list(logging.root.manager.loggerDict.values())
    for logger in (logging.root, *known):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers
