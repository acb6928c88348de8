"""Squawk beside our own rules: nothing that it knows is lost, and where it is not believed."""

import json
import subprocess

import pytest

from migrations.lint import squawk
from migrations.lint.errors import SquawkUnavailable
from migrations.lint.hazard import Hazard
from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql
from migrations.sql.source_statement import SourceStatement
from migrations.sql.statements import Reader

RULES = sorted({rule for hazard in HAZARDS.values() for rule in hazard.squawk})
BY_SQL = [hazard for hazard in HAZARDS.values() if hazard.language == "sql"]
CRIES_WOLF = {
    "require-lock-timeout": "it asks for one before what locks no table, and before CONCURRENTLY, which it would spoil",
    "prefer-bigint-over-int": "it wants every column wide, not only keys",
    "ban-create-policy": "it does not know that a table is new",
    "ban-alter-row-level-security": "it does not know that a table is new",
    "ban-disable-trigger": "it takes row-level security and ENABLE TRIGGER for DISABLE TRIGGER",
}


def said_by_squawk(sql: str) -> set[str]:
    command = [str(squawk.binary()), "--reporter", "json", "--stdin-filepath", "x.sql", "--config", "/dev/null"]
    command += [f"--include={rule}" for rule in RULES]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    return {violation["rule_name"] for violation in json.loads(done.stdout)}


def said_by_us(hazard: Hazard) -> set[str]:
    history = parse_sql(hazard.bad)
    return {one.hazard for one in lint(history.statements, hazard.known, history.waivers)}


@pytest.mark.parametrize("hazard", BY_SQL, ids=lambda hazard: hazard.id)
def test_what_squawk_knows_of_a_bad_example_is_told_under_a_hazard_of_ours(hazard: Hazard) -> None:
    told = {rule for one in said_by_us(hazard) for rule in HAZARDS[one].squawk}
    assert (said_by_squawk(hazard.bad) & set(RULES)) - told <= CRIES_WOLF.keys()


def test_a_hazard_without_a_rule_of_ours_is_seen_by_squawk() -> None:
    alone = [one for one in BY_SQL if one.rule is None and not one.id.startswith("waiver-")]
    assert alone
    assert [one.id for one in alone if not said_by_squawk(one.bad) & set(one.squawk)] == []


def test_findings_are_told_of_the_statement_that_has_them_whatever_stands_between() -> None:
    sql = "SELECT 1 -- ;\n;\n\nCREATE TABLE a (\n  b char(3)\n);\n/* ; */ SELECT ';\n;';DROP DATABASE x;DROP DATABASE y"
    read = Reader().read([SourceStatement(sql)])
    found = squawk.ask(read, ["ban-char-field", "ban-drop-database"])
    assert {read[number].sql.split()[0]: rules for number, rules in found.items()} == {
        "CREATE": {"ban-char-field"},
        "DROP": {"ban-drop-database"},
    }
    assert sorted(found) == [1, 3, 4]


def test_a_squawk_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> str:
        return "/nowhere/squawk"

    monkeypatch.setattr(squawk, "binary", absent)
    with pytest.raises(SquawkUnavailable, match="install"):
        squawk.ask(Reader().read([SourceStatement("SELECT 1")]), ["ban-char-field"])
