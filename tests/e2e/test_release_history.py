"""The whole history, from the core to the head, as releases under traffic and over seeded rows: nobody notices."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from deployments.local.hosting.faults import Fault
from flows.cli import app
from flows.cli.console import demo_checks
from flows.rehearse import rehearse
from migrations.checks.security.areas import protected_tables
from migrations.encryption.cipher import KEY_BYTES, KeyRing
from migrations.history.revisions import History
from migrations.rehearsal.evidence import Evidence
from migrations.seeds.initial_rows import SuperAdminIdentity
from migrations.seeds.seeding import Seeded, seed
from tasks import connections
from tasks.builds import application_dsn
from tasks.errors import RehearsalFailed
from tasks.steps import rehearsal

Working = Callable[[], AbstractContextManager[Any]]


def seeded(live: Any) -> Seeded:
    dsn = connections.owner_dsn(live.settings, connections.production_branch(live.settings))
    return seed(dsn, super_admin=SuperAdminIdentity(), size="small", keys=KeyRing([("k", bytes(KEY_BYTES))]))


def test_a_rehearsal_without_a_release_keeps_its_evidence_and_leaves_no_branch(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, newest = live.branches(), live.newest().id
    live.platform.fault("neon", Fault(method="POST", path="/branches$", when="after", cut=True))
    summary = str(rehearse("v2"))
    plan_digest, evidence_digest = re.findall(r"[0-9a-f]{64}", summary)
    with connections.ledger(live.settings) as ledger:
        kept = Evidence.from_json(str(ledger.evidence(evidence_digest)))
    assert (kept.plan_digest, kept.digest) == (plan_digest, evidence_digest)
    assert (live.branches(), live.newest().id) == (before, newest)
    monkeypatch.setenv("PILOTAGE_BLOCKING_BUDGET_MS", "0.01")
    with pytest.raises(RehearsalFailed, match=r"a release of v2 would stop: 20251101_0900 holds AccessExclusiveLock"):
        rehearse("v2")
    assert live.branches() == before


def test_the_whole_history_is_released_under_traffic_without_a_failed_request(live: Any, users: Working) -> None:
    history = History.load()
    assert seeded(live).added > 2_000
    # What is granted between two releases is no drift to the second.
    for environment in ("production", "staging"):
        given = CliRunner().invoke(app, ["roles", "--environment", environment])
        assert given.exit_code == 0, given.output
    before = demo_checks.read_production()
    with users() as at_work:
        # Up to a key that stays NOT VALID until the next release, then all that is left: expand before the application,
        # contract after it.
        live.release("v3", target_revision="20251122_0920")
        summary = live.release("v3")
    after = demo_checks.read_production()
    assert summary == f"release succeeded: v3 serves at {history.heads[0]}"
    assert (at_work.report.errors, at_work.report.failures) == (0, ())
    assert {written for _, written in at_work.acknowledged} <= after.message_ids
    assert before.message_ids <= after.message_ids
    assert after.revisions == history.heads
    assert len(after.catalog.of_kind("table")) == 41
    assert len(after.catalog.of_kind("enum")) == 15

    with connections.ledger(live.settings) as ledger:
        steps = [step.step for step in ledger.steps(live.newest().id) if step.event == "done"]
    assert steps.index("promote") < steps.index("contract production")
    evidence = rehearsal.evidence_of_release(live.newest().id)
    assert evidence is not None
    assert evidence.compatibility is not None
    assert (evidence.compatibility.broken, evidence.compatibility.unknown, evidence.compatibility.unseen) == (
        (),
        (),
        (),
    )
    assert evidence.compatible
    assert {one.revision for one in evidence.revisions if one.phase == "contract"} >= {"20251205_0900"}


def test_the_released_application_sees_the_rows_of_the_user_that_it_names_alone(live: Any) -> None:
    assert seeded(live).left_out == ()
    branch = connections.production_branch(live.settings)
    tables = protected_tables()
    assert len(tables) == 15
    with (
        psycopg.connect(connections.owner_dsn(live.settings, branch)) as owner,
        psycopg.connect(application_dsn(live.settings, "production").get_secret_value()) as application,
    ):
        for table in tables:
            name = sql.Identifier(table)
            whose = sql.SQL('SELECT "userId", count(*) FROM {} GROUP BY 1 ORDER BY 2 DESC').format(name)
            every = owner.execute(whose).fetchall()
            assert len(every) > 1, table
            application.execute("SELECT set_config('app.user_id', '', false)")
            assert application.execute(whose).fetchall() == [], table
            application.execute("SELECT set_config('app.user_id', %s, false)", (str(every[0][0]),))
            assert application.execute(whose).fetchall() == every[:1], table
