"""Users of the released application, at work while a test does something to it."""

import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.local.traffic.figures import TrafficReport, read_acknowledged
from deployments.local.traffic.run import run_traffic

# Each user signs up and begins a conversation before it writes.
USERS, FIRST_WRITES = 12, 24


@dataclass(frozen=True)
class Users:
    """Users at work.

    Attributes:
        running: their report, once they have stopped.
        file: every write that one of them was told is done.
    """

    running: Future[TrafficReport]
    file: Path

    @property
    def report(self) -> TrafficReport:
        """What they saw."""
        return self.running.result()

    @property
    def acknowledged(self) -> list[tuple[object, str]]:
        """Time and id of every write that was acknowledged."""
        return [(one.at, one.id) for one in read_acknowledged(self.file)]

    def wait_for_writes(self, count: int) -> None:
        """Wait until so many of their writes were acknowledged, or they have stopped."""
        while not self.running.done() and (not self.file.exists() or len(self.file.read_text().splitlines()) < count):
            time.sleep(0.1)


@contextmanager
def users_at_work(url: str, file: Path, *, are_waited_for: bool = True) -> Generator[Users]:
    """Let users work while a block runs.

    Args:
        url: where they reach the application.
        file: takes every write that one of them is told is done.
        are_waited_for: whether the block begins when all of them have written.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        # A bound for a test that hangs; on a busy machine releases take minutes.
        running = pool.submit(run_traffic, url, users=USERS, rate=30.0, seconds=900.0, acknowledged=file, stop=stop)
        users = Users(running, file)
        try:
            if are_waited_for:
                users.wait_for_writes(FIRST_WRITES)
            yield users
        finally:
            stop.set()
