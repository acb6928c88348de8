"""Which of the generated faults run, and what is kept and told of them."""

from pathlib import Path

import pytest

from tests.faults import report, selection
from tests.faults.report import FaultOutcome

FAULTS = [f"test_faults.py::test_of[{number}]" for number in range(20)]


def chosen() -> list[str]:
    return list(selection.part_of(selection.sample(FAULTS)))


def test_parts_are_the_whole_and_have_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS", "7:15")
    monkeypatch.delenv("PART", raising=False)
    whole = chosen()
    parts: list[str] = []
    for number in range(1, 5):
        monkeypatch.setenv("PART", f"{number}/4")
        parts += chosen()
    assert len(whole) == 15
    assert sorted(parts) == sorted(whole)


def test_a_seed_draws_the_same_sample_again_and_another_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PART", raising=False)
    monkeypatch.setenv("FAULTS", "7:5")
    first = chosen()
    assert chosen() == first
    monkeypatch.setenv("FAULTS", "8:5")
    assert chosen() != first


@pytest.mark.parametrize("part", ["0/4", "5/4", "4", "a/b"])
def test_a_part_that_is_none_is_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS", "all")
    monkeypatch.setenv("PART", part)
    with pytest.raises(pytest.UsageError, match=f"PART is {part}"):
        chosen()


def outcome(nodeid: str, result: str, when: str = "call") -> pytest.TestReport:
    told = FaultOutcome("release", "promote", "before", "SIGKILL", "rolled_back", 4.25)
    return pytest.TestReport(
        nodeid,
        ("", None, ""),
        {},
        result,  # pyright: ignore[reportArgumentType]
        None,
        when,  # pyright: ignore[reportArgumentType]
        user_properties=[(report.FAULT, vars(told))],
    )


def test_what_held_is_kept_until_it_fails_and_is_told_as_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report, "folder", lambda: tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    far = 2.0**40
    report.pytest_runtest_logreport(outcome(FAULTS[0], "passed"))
    report.pytest_runtest_logreport(outcome(FAULTS[1], "failed"))
    assert [report.has_passed(one, before=far) for one in FAULTS[:2]] == [True, False]
    assert not report.has_passed(FAULTS[0], before=0)
    assert report.table(report.outcomes(since=0))[1].split("  ") == [
        "release", "promote", "before", "SIGKILL", "rolled_back", "4.2 s",
    ]  # fmt: skip
    report.pytest_runtest_logreport(outcome(FAULTS[0], "failed", "teardown"))
    assert not report.has_passed(FAULTS[0], before=far)
