"""Lets all that a process tells pass the redactor: its streams, its log, the exceptions that it raises."""

import io
import logging
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from deployments.redaction.redactor import redacted

_HELD_BYTES = 64 * 1024


class _Stream(io.RawIOBase):
    """Takes bytes, and hands on text without secrets once it is flushed: what is broken over writes is seen as one."""

    def __init__(self, under: TextIO) -> None:
        self.under = under
        self._encoding = under.encoding or "utf-8"
        self._errors = under.errors or "strict"
        self._held = bytearray()

    @property
    def name(self) -> str:
        return str(getattr(self.under, "name", ""))

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.under.isatty()

    def fileno(self) -> int:
        return self.under.fileno()

    def write(self, data: Any, /) -> int:
        given = bytes(data)
        self._held += given
        if len(self._held) > _HELD_BYTES:
            self._hand_on(self._held.rfind(b"\n") + 1)
        return len(given)

    def flush(self) -> None:
        if not self.closed:
            self._hand_on(len(self._held))
            self.under.flush()

    def _hand_on(self, length: int) -> None:
        given = bytes(self._held[:length])
        del self._held[:length]
        if given:
            self.under.write(redacted(given.decode(self._encoding, self._errors)))


@contextmanager
def streams_redacted() -> Generator[None]:
    """Let stdout and stderr pass the redactor; for good where they are the process's own, else while the block runs."""
    before = sys.stdout, sys.stderr
    own = sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__
    # A process without a console has no streams at all.
    sys.stdout = sys.stdout and _guarded(sys.stdout, by_line=sys.stdout.isatty())
    sys.stderr = sys.stderr and _guarded(sys.stderr, by_line=True)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        if not own:
            sys.stdout, sys.stderr = before


def _guarded(stream: TextIO, *, by_line: bool) -> TextIO:
    if isinstance(getattr(stream, "buffer", None), _Stream):
        return stream
    raw = cast("Any", _Stream(stream))
    return io.TextIOWrapper(
        raw,
        encoding=stream.encoding or "utf-8",
        errors=stream.errors or "strict",
        newline="",
        line_buffering=by_line,
        write_through=True,
    )


def write_unredacted(line: str) -> None:
    """Write a line to stdout as it is: for a command that is asked for a secret, and for that line alone."""
    sys.stdout.flush()
    under = getattr(sys.stdout, "buffer", None)
    stream = under.under if isinstance(under, _Stream) else sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def guard_logging() -> None:
    """Let every record of this process pass the redactor, whichever logger makes it and whatever handles it."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Records):
        logging.setLogRecordFactory(_Records(make))


class _Records:
    """Makes records of the log without secrets, in their messages and in their exceptions."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **given: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **given)
        try:
            said = record.getMessage()
        except Exception:  # The logging module tells of a message that does not fit its arguments, when it is shown.
            said = f"{record.msg} {record.args}"
        if (told := redacted(said)) != said:
            record.msg, record.args = told, None
        if record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (told := redacted(text)) != text:
                record.exc_text, record.exc_info = told, None
        if record.stack_info:
            record.stack_info = redacted(record.stack_info)
        return record


class RedactedError(Exception):
    """Stands for an exception whose words could not be told without a secret.

    Attributes:
        transient: as the other one had it.
    """

    transient: bool = False


def redacted_exception(error: BaseException) -> BaseException:
    """An exception that holds no secret in its words, its notes, or those that it was raised from.

    Returns:
        The same one where it could be mended in place; otherwise one that stands for it.
    """
    return _redacted_exception(error, {})


def _redacted_exception(error: BaseException, seen: dict[int, BaseException]) -> BaseException:
    if id(error) in seen:
        return seen[id(error)]
    safe = seen[id(error)] = error if _mended(error) else _stand_in(error)
    cause, context, is_hidden = error.__cause__, error.__context__, error.__suppress_context__
    safe.__cause__ = _redacted_exception(cause, seen) if cause else None
    safe.__context__ = _redacted_exception(context, seen) if context else None
    safe.__suppress_context__ = is_hidden
    return safe


def _mended(error: BaseException) -> bool:
    """Take the secrets out of an exception where it keeps them; whether it has none then."""
    error.args = tuple(_mended_value(one) for one in error.args)
    for name, value in list(vars(error).items()):
        if (mended := _mended_value(value)) is not value:
            setattr(error, name, mended)
    if isinstance(error, SystemExit):
        error.code = _mended_value(error.code)
    inner = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ()))
    are_mended = [redacted_exception(one) is one for one in inner]
    return all(are_mended) and redacted(_words(error)) == _words(error)


def _mended_value(value: Any) -> Any:
    if isinstance(value, str):
        mended = redacted(value)
        return value if mended == value else mended
    if type(value) in {tuple, list}:
        parts = [_mended_value(one) for one in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
    return value


def _stand_in(error: BaseException) -> RedactedError:
    safe = RedactedError(redacted(f"{type(error).__name__}: {_words(error)}"))
    safe.transient = bool(getattr(error, "transient", False))
    safe.__traceback__ = error.__traceback__
    return safe


def _words(error: BaseException) -> str:
    """What an exception says, in every way that it is asked."""
    try:
        return f"{error} {error!r}" if "exceptions" not in dir(error) else str(error)
    except Exception:  # An exception whose own words fail has none.
        return ""
