"""What is asked right before each change, so that a process that has lost its release changes nothing more."""

from typing import Protocol


class Fence(Protocol):
    """Says whether whoever sends a change may still do so."""

    def check(self, change: str) -> None:
        """Let a change through, or raise.

        Args:
            change: What is about to be asked for, such as `POST /projects/p/branches`.

        Raises:
            Exception: whoever asks may change nothing more, or it could not be told.
        """
        ...
