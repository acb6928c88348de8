"""Names that stand in databases, in scripts and in other people's settings: whoever renames one of them breaks those.

They are written out here, and not taken from the code, so that a rename of an identifier cannot carry them along.
"""

import re
from pathlib import Path
from typing import get_args

import pytest
import typer

from deployments.ledger.history import VERSION_TABLE
from deployments.ledger.schema import metadata
from deployments.ledger.store import MIGRATION_LOCK
from deployments.ledger.values import MessageState, ReleaseState, StepEvent
from deployments.settings import NeonSettings, Settings, variable
from flows.cli.console.command_errors import CommandFailed, exit_on_error
from flows.cli.lint import COULD_NOT_TELL
from migrations.database.locks import ADVISORY_KEY
from migrations.history.applied_revisions import PRODUCT_SCHEMA
from tasks.acts import RULES, Act

HOUSE = Path(__file__).resolve().parents[2]


def test_settings_are_called_what_they_were_called() -> None:
    assert {variable(name) for name in Settings.model_fields} == {
        "NEON_API_URL",
        "NEON_API_KEY",
        "NEON_PROJECT_ID",
        "NEON_PRODUCTION_BRANCH",
        "NEON_STAGING_BRANCH",
        "NEON_DATABASE",
        "NEON_OWNER_ROLE",
        "NEON_APP_ROLE",
        "APP_DATABASE_URL",
        "APP_STAGING_DATABASE_URL",
        "VERCEL_API_URL",
        "VERCEL_TOKEN",
        "VERCEL_TEAM_ID",
        "VERCEL_PROJECT_ID",
        "VERCEL_CONFIG_ID",
        "VERCEL_AUTOMATION_BYPASS_SECRET",
        "RELEASE_REPOSITORY",
        "PRODUCTION_URL",
        "SLACK_WEBHOOK_URL",
        "LEDGER_URL",
        "PILOTAGE_TARGET",
        "PILOTAGE_RELEASE_REVISIONS_PATH",
        "PILOTAGE_CACHE_FOLDER",
        "PILOTAGE_LEASE_S",
        "PILOTAGE_STOP_S",
        "PILOTAGE_SNAPSHOT_HOURS",
        "PILOTAGE_SNAPSHOTS_KEPT",
        "PILOTAGE_NEON_BRANCH_LIMIT",
        "PILOTAGE_NEON_ROOT_BRANCH_LIMIT",
        "PILOTAGE_LOCK_TIMEOUT_MS",
        "PILOTAGE_MIGRATION_BUDGET_S",
        "PILOTAGE_MIGRATION_POLICY",
        "PILOTAGE_END_IDLE_AFTER_S",
        "PILOTAGE_STATEMENT_TIMEOUT_S",
        "PILOTAGE_BLOCKING_BUDGET_MS",
        "PILOTAGE_ROW_LOSS_LIMIT",
        "PILOTAGE_P95_LIMIT_MS",
        "PILOTAGE_ERROR_RATE_LIMIT",
        "PILOTAGE_MINIMUM_USERS",
        "PILOTAGE_MINIMUM_REQUESTS",
        "PILOTAGE_WATCH_RATE",
    }
    assert get_args(Settings.model_fields["migration_policy"].annotation) == ("wait", "end")
    default = NeonSettings.model_fields["ledger_url"].default
    assert default.get_secret_value() == "sqlite:///.pilotage/ledger.db"


def test_a_command_that_cannot_exits_1_and_a_lint_that_cannot_tell_exits_2() -> None:
    with pytest.raises(typer.Exit) as left, exit_on_error():
        raise CommandFailed("no")
    assert left.value.exit_code == 1
    assert COULD_NOT_TELL == 2


def test_the_ledger_names_its_acts_as_before_and_each_says_what_leads_on() -> None:
    assert [act.value for act in Act] == [
        "plan",
        "delete old snapshot",
        "snapshot",
        "rehearsal",
        "delete rehearsal branch",
        "reset staging",
        "migrate staging",
        "deploy staging",
        "smoke tests",
        "restore point",
        "migrate production",
        "build production",
        "check build",
        "promote",
        "validate database",
        "watch production",
        "contract production",
        "roll back staging",
        "delete snapshot",
        "delete kept staging",
        "verify that nothing changed",
        "maintenance mode on",
        "maintenance mode off",
        "protection lifted",
        "restore production",
        "protection set",
        "roll back application",
        "take back revisions",
        "receipt",
    ]
    assert set(RULES) == set(Act)


def test_two_versions_of_the_tool_take_the_same_advisory_locks() -> None:
    assert ADVISORY_KEY == 0x50494C4F54414745
    assert MIGRATION_LOCK == 0x9107A6E5


def test_a_target_database_keeps_its_tables_in_the_schema_pilotage() -> None:
    source = "\n".join(
        path.read_text()
        for path in (HOUSE / "migrations").rglob("*.py")
        if not path.is_relative_to(HOUSE / "migrations" / "versions")
    )
    made = re.findall(r"^CREATE TABLE IF NOT EXISTS (pilotage\.\w+) \(\n(.*?)\n\)", source, re.DOTALL | re.MULTILINE)
    columns = {table: re.findall(r'^ +"?([a-z]\w*)"? ', body, re.MULTILINE) for table, body in made}
    added = re.findall(r"^ALTER TABLE (pilotage\.\w+) ADD COLUMN IF NOT EXISTS (\w+)", source, re.MULTILINE)
    for table, column in added:
        columns[table].append(column)
    assert PRODUCT_SCHEMA == "pilotage"
    assert {table: " ".join(names) for table, names in columns.items()} == {
        "pilotage.overwritten_additions": "relation attribute revision noted_at",
        "pilotage.overwritten_rows": "relation kind revision overwritten_by written_by key noted_at",
        "pilotage.applied_revisions": (
            "revision checksum applied_at release_id applied_by duration_ms xid attempts waited_ms blocked_ms"
        ),
        "pilotage.release_guard": "single release_id opened_at fence written_at",
        "pilotage.unfinished_revisions": "revision way statements begun invalid noted_at",
        "pilotage.ended_sessions": "revision release_id ended_at pid user application age_s query",
        "pilotage.revision_transactions": "revision first beyond certain noted_at",
        "pilotage.backfills": (
            "revision direction number relation digest position passed changed estimate batch_rows paused started_at"
            " updated_at finished_at closed_at"
        ),
        "pilotage.backfill_batches": "revision direction number xid passed changed committed_at",
    }


def test_the_ledger_keeps_its_tables_columns_and_words() -> None:
    assert VERSION_TABLE == "ledger_version"
    assert {table.name: " ".join(table.columns.keys()) for table in metadata.sorted_tables} == {
        "releases": (
            "id target ref commit_sha target_revision requested_by flow_run_id holder state lease_expires_at started_at"
            " ended_at summary fence"
        ),
        "steps": "id release_id seq step event at details",
        "catalogs": "number id target environment release_id revision digest catalog at",
        "announcements": "id target environment digest first_at",
        "evidence": "digest plan_digest release_id evidence at",
        "messages": "number id target release_id fact text blocks at state taken_by taken_until sent_at",
    }
    assert get_args(MessageState) == ("waiting", "sent", "refused", "too old")
    assert get_args(ReleaseState) == ("running", "succeeded", "rolled_back", "failed", "undecided", "abandoned")
    assert get_args(StepEvent) == ("begun", "done", "failed", "noted")
