"""What somebody else says, and ends with a full stop or not, stands in a sentence of ours all the same."""

import re
from collections.abc import Callable

import pytest

from migrations.apply.errors import IndexInTheWay
from migrations.authoring.consistency.finding import Finding
from migrations.backfill.errors import BackfillRefused, BackfillStopped
from migrations.disclosure.sentences import clause, clauses, sentence
from migrations.drift.comparison import DriftFinding
from migrations.errors import CatalogUnreadable, RevisionFailed
from migrations.sql.errors import SqlUnreadable
from tasks.errors import NotReady, verdict_error
from tasks.values import Subject, Verdict

ENDINGS = (
    "it stopped",
    "it stopped.",
    "it stopped. ",
    "it stopped;",
    "it stopped:",
    "is it up?",
    "stop!",
    "and so on…",
)
DOUBLED = re.compile(r"[.;:,!]\s*[.;:,]|[?…]\s*[.:,]|\s\s")


def verdict(text: str) -> str:
    return str(verdict_error((Verdict("health", Subject.DATA, "down", "healthy", passed=False, detail=text),) * 2))


SAID: dict[str, Callable[[str], object]] = {
    "a refusal": lambda text: NotReady.of("release", text, text),
    "verdicts": verdict,
    "drift": lambda text: DriftFinding("catalogue", "table a", text, "undo it"),
    "a finding": lambda text: Finding("r1", text, "mend it"),
    "a failed revision": lambda text: RevisionFailed("r1", sqlstate=None, statement=None, message=text),
    "a failed statement": lambda text: RevisionFailed("r1", sqlstate=None, statement="SELECT 1", message=text),
    "a statement": lambda text: SqlUnreadable("a.sql", 1, text, ""),
    "a catalogue": CatalogUnreadable,
    "an index": lambda text: IndexInTheWay("r1", "i", text),
    "a backfill refused": lambda text: BackfillRefused("t", text),
    "a backfill stopped": lambda text: BackfillStopped("r1", "t", 3, text),
}


@pytest.mark.parametrize("text", ENDINGS)
@pytest.mark.parametrize("kind", SAID)
def test_no_two_marks_stand_beside_each_other_where_a_text_goes_on(kind: str, text: str) -> None:
    told = str(SAID[kind](text))
    assert text.rstrip(" .;:!") in told
    assert DOUBLED.findall(told) == [], told


def test_a_refusal_is_told_in_whole_sentences() -> None:
    assert str(NotReady.of("release", "a hazard. Do it so.", "another.")) == (
        "the release cannot start: a hazard. Do it so; another. Nothing was touched."
    )


def test_an_ellipsis_and_a_question_stay_what_they_are() -> None:
    assert (clause("wait..."), sentence("is it up?"), sentence("wait...")) == ("wait...", "is it up?", "wait...")
    assert clauses(["one.", "", " ", "two"]) == "one; two"
