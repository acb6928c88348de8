"""Drift without a database: what each state of the history amounts to."""

from pathlib import Path

from migrations.catalog.contents import Catalog, CatalogObject
from migrations.drift.comparison import drift_digest, find_drift
from migrations.history.revisions import HistoryState, Revision

NOTHING = Catalog.of(())
STILL = HistoryState(current=("a",), pending=(), edited=(), deleted=(), unknown=())


def revision(name: str) -> Revision:
    return Revision(name, (), Path(f"{name}_x.py"), "c", "m", "expand")


def test_what_is_as_it_was_released_has_no_findings() -> None:
    assert find_drift(NOTHING, NOTHING, STILL) == ()


def test_each_kind_has_its_subject() -> None:
    state = HistoryState(("a", "z"), (revision("p"),), (revision("e"),), ("d",), ("z",))
    live = Catalog.of([CatalogObject("column", "t.x", "text")])
    found = find_drift(live, NOTHING, state)
    assert [(one.kind, one.subject) for one in found] == [
        ("catalogue", "column t.x"),
        ("deleted", "d"),
        ("edited", "e"),
        ("pending", "p"),
        ("unknown", "z"),
    ]
    assert all(one.detail and one.advice for one in found)


def test_what_was_not_recorded_cannot_be_told() -> None:
    state = HistoryState(("a",), (), None, None, ())
    assert [(one.kind, one.subject) for one in find_drift(NOTHING, None, state)] == [
        ("cannot-tell", "catalogue"),
        ("cannot-tell", "checksums"),
    ]


def test_digest_is_of_the_findings_and_not_of_their_order() -> None:
    found = find_drift(Catalog.of([CatalogObject("table", n, "table") for n in ("s", "t")]), NOTHING, STILL)
    assert drift_digest(found) == drift_digest(tuple(reversed(found))) != drift_digest(found[:1])


def test_digest_tells_two_changes_of_the_same_object_apart() -> None:
    recorded = Catalog.of([CatalogObject("column", "t.x", "text")])
    once, twice = (
        find_drift(Catalog.of([CatalogObject("column", "t.x", kind)]), recorded, STILL)
        for kind in ("integer", "bigint")
    )
    assert [(one.kind, one.subject) for one in once] == [(one.kind, one.subject) for one in twice]
    assert drift_digest(once) != drift_digest(twice)
