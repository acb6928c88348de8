"""Transaction ids and snapshots."""

import pytest

from migrations.restore.transaction_snapshot import Snapshot, full_xid


@pytest.mark.parametrize(
    ("xid", "near", "full"),
    [
        (700, 750, 700),
        (800, 750, 800),
        (4_294_967_000, (1 << 32) + 5, 4_294_967_000),
        (5, (1 << 32) - 3, (1 << 32) + 5),
        (7, (3 << 32) + 9, (3 << 32) + 7),
    ],
)
def test_full_xid_takes_the_epoch_that_lies_nearest(xid: int, near: int, full: int) -> None:
    assert full_xid(xid, near=near) == full


def test_snapshot_sees_what_had_ended() -> None:
    snapshot = Snapshot.parse("100:105:100,103")
    assert [snapshot.sees(xid) for xid in (99, 100, 101, 103, 104, 105)] == [True, False, True, False, True, False]
    assert str(snapshot) == "100:105:100,103"
    assert str(Snapshot.parse("7:7:")) == "7:7:"
