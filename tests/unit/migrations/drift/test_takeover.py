"""What pending revisions take over of what was changed by hand, kind by kind."""

import pytest

from migrations.catalog.contents import Catalog, CatalogObject, difference
from migrations.drift.takeover import changes_taken_over

BEFORE = Catalog.of([CatalogObject("table", "t", "table"), CatalogObject("index", "old", "on t")])


def after(*objects: tuple[str, str, str], without: str = "") -> Catalog:
    kept = [one for one in BEFORE.objects if one.name != without]
    return Catalog.of([*kept, *(CatalogObject(*one) for one in objects)])


def over(by_hand: Catalog, promised: Catalog) -> list[str]:
    return [one.name for one in changes_taken_over(difference(BEFORE, by_hand), difference(BEFORE, promised))]


def test_what_is_added_changed_or_removed_in_the_same_way_is_taken_over() -> None:
    same = after(("column", "t.x", "text"), ("index", "new", "on t (x)"), ("table", "t", "table forced"), without="old")
    assert over(same, same) == ["t.x", "new", "old", "t"]
    assert over(same, BEFORE) == []
    assert over(BEFORE, same) == []


def test_what_is_otherwise_than_promised_is_not() -> None:
    assert over(after(("index", "new", "on t (x) INVALID")), after(("index", "new", "on t (x)"))) == []
    assert over(after(without="old"), after(("index", "new", "on t (x)"))) == []


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (("table", "n", "table"), ("column", "n.x", "text")),
        (("table", "n", "table"), ("constraint", "n.n_pkey", "PRIMARY KEY (id)")),
        (("table", 'a."n.m"', "table"), ("column", 'a."n.m".x', "text")),
        (("column", "t.x", "text"), ("constraint", "t.t_x_check", "CHECK ((x <> ''::text))")),
        (("column", 't."a.b"', "text"), ("constraint", "t.c", """CHECK (("a.b" <> ''::text))""")),
    ],
)
def test_what_its_statement_would_have_made_too_must_be_there(
    made: tuple[str, str, str], missing: tuple[str, str, str]
) -> None:
    assert made[1] not in over(after(made), after(made, missing))
    assert made[1] in over(after(made, missing), after(made, missing))


def test_what_another_statement_makes_may_be_missing() -> None:
    made = ("column", "t.x", "text")
    for other in (("column", "t.y", "text"), ("index", "new", "on t (x)"), ("constraint", "u.c", "CHECK (x > 0)")):
        assert over(after(made), after(made, other)) == ["t.x"]
