"""Every hazard's bad example is caught, and its good one is silent."""

import pytest

from migrations.lint.documentation import PAGE, page
from migrations.lint.findings import Finding
from migrations.lint.hazard import Hazard
from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql
from migrations.sql.database_context import DatabaseContext

BY_SQL = [hazard for hazard in HAZARDS.values() if hazard.language == "sql"]


def findings(sql: str, known: DatabaseContext | None = None) -> tuple[Finding, ...]:
    history = parse_sql(sql, "history.sql")
    return lint(history.statements, known, history.waivers)


def unwaived(sql: str, known: DatabaseContext | None = None) -> list[str]:
    return [finding.hazard for finding in findings(sql, known) if finding.waived_by is None]


@pytest.mark.parametrize("hazard", BY_SQL, ids=lambda hazard: hazard.id)
def test_the_bad_example_is_caught(hazard: Hazard) -> None:
    assert hazard.id in unwaived(hazard.bad, hazard.known)


@pytest.mark.parametrize("hazard", BY_SQL, ids=lambda hazard: hazard.id)
def test_the_good_example_is_silent(hazard: Hazard) -> None:
    assert unwaived(hazard.good, hazard.known) == []


@pytest.mark.parametrize("hazard", BY_SQL, ids=lambda hazard: hazard.id)
def test_a_message_says_effect_and_safe_way_with_names_filled_in(hazard: Hazard) -> None:
    said = [finding.message for finding in findings(hazard.bad, hazard.known) if finding.hazard == hazard.id]
    assert said
    assert all("{" not in one and "``" not in one for one in said)


@pytest.mark.parametrize("hazard", HAZARDS.values(), ids=lambda hazard: hazard.id)
def test_a_record_is_complete(hazard: Hazard) -> None:
    assert hazard.condition.endswith(".")
    assert hazard.effect.endswith(".")
    assert hazard.safe.endswith(".")
    assert hazard.id == hazard.id.lower().replace("_", "-")


def test_the_documentation_is_made_from_the_records() -> None:
    assert PAGE.read_text() == page(), "run python -m migrations.lint.documentation"
