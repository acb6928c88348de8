"""SIGTERM: a run that is told to stop finishes the act that it is in, within a bound, and begins no further one.

Prefect raises TerminationSignal wherever a run stands, in the middle of an act too. A release that was cut off there is
finished by recovery all the same; but an act that has ended, and is written, leaves nothing to be found out.

Source: prefect/utilities/engine.py (`capture_sigterm`): the handler of a flow run raises TerminationSignal; a
cancellation is acknowledged only where that handler is in place, and its worker kills the run 30 s later.
"""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import prefect.utilities.engine
from prefect.exceptions import TerminationSignal

# What is left for telling of it, and for Prefect to write the run's state, when the bound is over.
LAST_S: Final = 5.0
_PREFECT_HANDLER: Final = "_prefect_sigterm_handler"


@dataclass
class _Run:
    """How this process was told to stop.

    Attributes:
        bound_s: seconds that an act may go on for.
        told: whether it was told to stop.
        is_over: whether the bound has passed.
        acts: how many acts are open that are to be finished, one within the other.
        timers: what ends it.
    """

    bound_s: float
    told: bool = False
    is_over: bool = False
    acts: int = 0
    timers: list[threading.Timer] = field(default_factory=list[threading.Timer])


# The one run that this process is told to stop in; none where no block below is open.
_runs: list[_Run] = []


@contextmanager
def finishing_acts(bound_s: float) -> Generator[None]:
    """SIGTERM lets the block finish the act that it is in; then, or at once where it is in none, it is left.

    A process that has not ended some seconds after the bound is killed, whatever it does.

    Args:
        bound_s: seconds that the act may go on for.

    Raises:
        TerminationSignal: it was told to stop.
    """
    if threading.current_thread() is not threading.main_thread() or _runs:
        yield
        return
    run = _Run(bound_s)
    _runs.append(run)

    def stop(number: int, _frame: FrameType | None) -> None:
        if not run.told:
            run.told = True
            _end_later(run)
        elif not run.is_over:
            # Told again, by whoever stops the service as a whole: once is enough.
            return
        if (run.acts > 0) == run.is_over:
            raise TerminationSignal(signal=number)

    before = signal.signal(signal.SIGTERM, stop)
    is_prefects = before is getattr(prefect.utilities.engine, _PREFECT_HANDLER, None)
    if is_prefects:
        setattr(prefect.utilities.engine, _PREFECT_HANDLER, stop)
    try:
        yield
        for timer in run.timers:
            timer.cancel()
    finally:
        # A run that was told to stop is not told again while Prefect writes down how it ended.
        run.acts = 0
        if not run.told:
            if is_prefects:
                setattr(prefect.utilities.engine, _PREFECT_HANDLER, before)
            signal.signal(signal.SIGTERM, before)
        _runs.remove(run)


def _end_later(run: _Run) -> None:
    def leave() -> None:
        run.is_over = True
        with suppress(ProcessLookupError):
            os.kill(os.getpid(), signal.SIGTERM)

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for seconds, act in ((run.bound_s, leave), (run.bound_s + LAST_S, end)):
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        run.timers.append(timer)
        timer.start()


def stop_if_told() -> None:
    """Leave a run that was told to stop, unless it is in an act.

    Raises:
        TerminationSignal: it was told to stop.
    """
    if any(run.told and run.acts == 0 for run in _runs):
        raise TerminationSignal(signal=signal.SIGTERM)


@contextmanager
def last_act() -> Generator[None]:
    """What ends a run, and is not begun by one that was told to stop: it is finished, and the run ends as it would.

    Raises:
        TerminationSignal: the run was told to stop before the block, or the bound is over.
    """
    stop_if_told()
    for run in _runs:
        run.acts += 1
    try:
        yield
    finally:
        for run in _runs:
            run.acts -= 1


@contextmanager
def act(*, is_left_at_once: bool = False) -> Generator[None]:
    """What is finished once it has begun, and not begun by a run that was told to stop.

    Args:
        is_left_at_once: not finished, as it changes nothing.

    Raises:
        TerminationSignal: the run was told to stop, before the block or in it; or the bound is over.
    """
    if is_left_at_once:
        stop_if_told()
        yield
    else:
        with last_act():
            yield
    stop_if_told()
