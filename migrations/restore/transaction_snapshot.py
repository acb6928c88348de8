"""Transaction ids and snapshots, as PostgreSQL writes them."""

from __future__ import annotations

from dataclasses import dataclass

_EPOCH = 1 << 32


def full_xid(xid: int, *, near: int) -> int:
    """The 64-bit transaction id of a 32-bit one.

    Args:
        xid: as tuples and locks have it, without its epoch.
        near: a 64-bit id that is at most two billion transactions away from it.

    Source: ids are compared modulo 2^32; a row's xmin may be older than that when it was frozen, and then is not told.
    """
    candidate = near - near % _EPOCH + xid
    if candidate > near + _EPOCH // 2:
        return candidate - _EPOCH
    if candidate < near - _EPOCH // 2:
        return candidate + _EPOCH
    return candidate


@dataclass(frozen=True)
class Snapshot:
    """Which transactions a session sees.

    Attributes:
        xmin: every id below has ended.
        xmax: no id from here on is seen.
        running: ids between them that had not ended.
    """

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read PostgreSQL's text form, `xmin:xmax:xid,xid`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(str(xid) for xid in sorted(self.running))}"

    def sees(self, xid: int) -> bool:
        """Whether what this transaction committed is seen; an aborted one has left nothing to see."""
        return xid < self.xmax and xid not in self.running
