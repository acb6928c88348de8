"""Backfills: all rows exactly once, in batches, by any key."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.migrate import downgrade, upgrade
from migrations.backfill.errors import BackfillChanged, BackfillIncomplete, BackfillRefused
from migrations.backfill.operation import BackfillProgress, reporting_progress
from migrations.errors import LockBudgetExceeded, RevisionFailed
from migrations.history.revisions import History

MakeHistory = Callable[..., History]
TABLE = (
    'op.execute("CREATE TABLE counters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int NOT NULL DEFAULT 0,'
    ' owner text)")'
)
ONCE_MORE = 'op.backfill("counters", {"n": "n + 1"})'


@pytest.fixture
def make_history(tmp_path: Path) -> MakeHistory:
    """Write a linear history: each body is the upgrade of one revision, r1, r2, …"""

    def make(*bodies: str, down: str = "pass") -> History:
        for number, body in enumerate(bodies, 1):
            below = f'"r{number - 1}"' if number > 1 else None
            (tmp_path / f"r{number}.py").write_text(
                f'"""Step {number}."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n'
                f"def upgrade():\n    {body}\n\ndef downgrade():\n    {down if number > 1 else 'pass'}\n"
            )
        return History.load(tmp_path)

    return make


def run(database: ProvisionedDatabase, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def filled(database: ProvisionedDatabase, history: History, rows: int) -> None:
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    run(database, f"INSERT INTO counters (owner) SELECT g::text FROM generate_series(1, {rows}) g; ANALYZE counters")


def test_every_row_goes_through_it_once_in_batches_of_their_own(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(TABLE, ONCE_MORE)
    filled(database, history, 2300)
    seen: list[BackfillProgress] = []
    with reporting_progress(seen.append):
        upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, "SELECT n, count(*) FROM counters GROUP BY n") == [(1, 2300)]
    batches = run(database, "SELECT xid::text, passed, changed FROM pilotage.backfill_batches ORDER BY xid")
    assert len(batches) > 1
    assert sum(int(str(one[2])) for one in batches) == 2300
    written_by = {str(one[0]) for one in run(database, "SELECT DISTINCT xmin::text FROM counters")}
    assert {str(int(str(one[0])) % 2**32) for one in batches if one[2]} == written_by
    assert [one.passed for one in seen] == sorted(one.passed for one in seen)
    assert (seen[-1].passed, seen[-1].changed, seen[-1].total, seen[-1].finished) == (2300, 2300, 2300, True)
    assert seen[0].remaining_s is not None
    assert 0 < seen[0].share < 1 == seen[-1].share


@pytest.mark.parametrize("source", ["", ', source="names r"'], ids=["of the row", "from another table"])
def test_what_a_user_writes_between_its_reading_and_its_writing_stays(
    database: ProvisionedDatabase, make_history: MakeHistory, source: str
) -> None:
    expression, joined = ("r.name", "r.id = counters.id AND ") if source else ("'own'", "")
    history = make_history(
        TABLE + "; op.execute(\"CREATE TABLE names AS SELECT g AS id, 'own' AS name FROM generate_series(1, 9) g\")",
        f'op.backfill("counters", {{"owner": "{expression}"}}, where="{joined}owner IS NULL"{source})',
    )
    upgrade(database.owner_dsn, history, target="r1", release_id="test")
    run(database, "INSERT INTO counters (n) SELECT 0 FROM generate_series(1, 9)")
    run(database, f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'repeatable read'")
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
    with psycopg.connect(database.owner_dsn) as user, ThreadPoolExecutor(1) as pool:
        user.execute("UPDATE counters SET owner = 'theirs' WHERE id = 5")
        # It does not give up: once the user has committed, it goes on with the statement that it has begun.
        going_on = pool.submit(upgrade, database.owner_dsn, history, release_id="test", lock_timeout_ms=60_000)
        while run(database, waits) != [(True,)] and not going_on.done():
            time.sleep(0.02)
        assert not going_on.done()
        user.commit()
        going_on.result()
    found = run(database, "SELECT owner, count(*), min(id) FROM counters GROUP BY owner ORDER BY owner")
    assert found == [("own", 8, 1), ("theirs", 1, 5)]


@pytest.mark.parametrize(
    ("columns", "key", "values"),
    [
        ("k uuid PRIMARY KEY", '"k"', "gen_random_uuid()"),
        ("k text PRIMARY KEY", '"k"', "'it''s \\ ' || chr(48 + g % 70) || g"),
        ('"Key" varchar(20) UNIQUE NOT NULL', '"Key"', "g"),
        ("a int, b timestamptz, PRIMARY KEY (a, b)", '("a", "b")', "g % 7, now() - g * interval '1 microsecond'"),
    ],
)
def test_any_unique_key_will_do(
    database: ProvisionedDatabase, make_history: MakeHistory, columns: str, key: str, values: str
) -> None:
    history = make_history(
        "pass", f'op.backfill("Odd table", {{"N m": "coalesce(\\"N m\\", 0) + 1"}}, key={key}, schema="apart")'
    )
    run(database, f'CREATE SCHEMA apart; CREATE TABLE apart."Odd table" ({columns}, "N m" int)')
    run(database, f'INSERT INTO apart."Odd table" SELECT {values}, 5 FROM generate_series(1, 1203) g')
    upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, 'SELECT "N m", count(*) FROM apart."Odd table" GROUP BY 1') == [(6, 1203)]


def test_values_come_from_another_table_and_the_rows_left_are_looked_for(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(
        TABLE + "; op.execute('CREATE TABLE names (id text PRIMARY KEY, name text)')",
        'op.backfill("counters", {"owner": "r.name"}, source="names r", where="r.id = counters.owner")',
    )
    filled(database, history, 700)
    run(database, "INSERT INTO names SELECT g::text, 'name ' || g FROM generate_series(1, 650) g")
    upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, "SELECT owner LIKE 'name %', count(*) FROM counters GROUP BY 1 ORDER BY 1") == [
        (False, 50),
        (True, 650),
    ]


def test_a_condition_that_stays_true_is_told_and_nothing_runs_twice(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    body = 'op.backfill("counters", {"n": "n + 1"}, where="n < 9")'
    history = make_history(TABLE, body)
    filled(database, history, 600)
    for _ in range(2):
        with pytest.raises(BackfillIncomplete, match=r"n < 9 still names 600\. .*verify=False") as caught:
            upgrade(database.owner_dsn, history, release_id="test")
        assert caught.value.remaining == 600
    assert run(database, "SELECT version_num FROM alembic_version") == [("r1",)]
    upgrade(database.owner_dsn, make_history(TABLE, body.replace(")", ", verify=False)")), release_id="test")
    assert run(database, "SELECT n, count(*) FROM counters GROUP BY n") == [(1, 600)]


def test_it_goes_on_after_a_batch_that_raised(database: ProvisionedDatabase, make_history: MakeHistory) -> None:
    history = make_history(TABLE, 'op.backfill("counters", {"n": "n + 1 + 0 * owner::int"})')
    filled(database, history, 1400)
    run(database, "UPDATE counters SET owner = 'nobody' WHERE id = 1300")
    with pytest.raises(RevisionFailed, match="invalid input syntax for type integer") as caught:
        upgrade(database.owner_dsn, history, release_id="test")
    assert "nobody" not in str(caught.value)
    assert caught.value.sqlstate == "22P02"
    ((done,),) = run(database, "SELECT count(*) FROM counters WHERE n = 1")
    assert 0 < int(str(done)) < 1300
    assert f"{done} rows of public.counters" in str(caught.value)
    run(database, "UPDATE counters SET owner = '0' WHERE id = 1300")
    upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, "SELECT n, count(*) FROM counters GROUP BY n") == [(1, 1400)]


def test_an_edited_statement_is_refused_where_rows_went_through_the_old_one(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(TABLE, 'op.backfill("counters", {"n": "n + 1 + 0 * owner::int"})')
    filled(database, history, 1400)
    run(database, "UPDATE counters SET owner = 'nobody' WHERE id = 1300")
    with pytest.raises(RevisionFailed):
        upgrade(database.owner_dsn, history, release_id="test")
    with pytest.raises(BackfillChanged, match="pilotage backfill restart r2"):
        upgrade(database.owner_dsn, make_history(TABLE, ONCE_MORE), release_id="test")


def test_up_back_and_up_again_runs_each_way_each_time(database: ProvisionedDatabase, make_history: MakeHistory) -> None:
    history = make_history(TABLE, f"{ONCE_MORE}; {ONCE_MORE}", down='op.backfill("counters", {"n": "n * 10"})')
    filled(database, history, 20)
    upgrade(database.owner_dsn, history, release_id="test")
    downgrade(database.owner_dsn, history, "r1")
    upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, "SELECT DISTINCT n FROM counters") == [(22,)]


def test_rows_that_others_hold_are_waited_for_and_then_given_up(
    database: ProvisionedDatabase, make_history: MakeHistory
) -> None:
    history = make_history(TABLE, ONCE_MORE)
    filled(database, history, 30)
    with psycopg.connect(database.owner_dsn, application_name="somebody") as other:
        other.execute("UPDATE counters SET owner = 'me' WHERE id = 7")
        with pytest.raises(LockBudgetExceeded, match=r"r2 got no lock.*somebody"):
            upgrade(database.owner_dsn, history, release_id="test", lock_timeout_ms=20, budget_s=0.3)
    upgrade(database.owner_dsn, history, release_id="test")
    assert run(database, "SELECT DISTINCT n FROM counters") == [(1,)]


@pytest.mark.parametrize(
    ("table", "call", "why"),
    [
        ("counters (id bigint PRIMARY KEY, n int)", 'op.backfill("other", {"n": "1"})', "there is no such table"),
        ("counters (id bigint, n int)", ONCE_MORE, r"no unique index on \(id\)"),
        ("counters (id bigint UNIQUE, n int)", ONCE_MORE, r"no unique index on \(id\)"),
        ("counters (id bigint PRIMARY KEY, n int)", 'op.backfill("counters", {"n": "1"}, key="no")', r"on \(no\)"),
        ("counters (id bigint PRIMARY KEY, n int)", 'op.backfill("counters", {})', "needs a column to set"),
    ],
)
def test_what_cannot_be_gone_over_once_is_refused(
    database: ProvisionedDatabase, make_history: MakeHistory, table: str, call: str, why: str
) -> None:
    with pytest.raises(BackfillRefused, match=why):
        upgrade(database.owner_dsn, make_history(f'op.execute("CREATE TABLE {table}")', call), release_id="test")


def test_plain_alembic_runs_it_too(database: ProvisionedDatabase, make_history: MakeHistory, tmp_path: Path) -> None:
    history = make_history(TABLE, ONCE_MORE)
    filled(database, history, 1500)
    upgrade_plainly = (
        "import sys\nfrom pathlib import Path\nfrom alembic import command\n"
        "from migrations.history.revisions import History\n"
        "command.upgrade(History.load(Path(sys.argv[1])).alembic_config(), 'head')"
    )
    subprocess.run(
        [sys.executable, "-c", upgrade_plainly, tmp_path],
        check=True,
        env={"DATABASE_URL": database.owner_dsn, "PYTHONPATH": str(Path.cwd())},
    )
    assert run(database, "SELECT DISTINCT n, (SELECT count(*) FROM counters) FROM counters") == [(1, 1500)]
    assert run(database, "SELECT closed_at IS NOT NULL, finished_at IS NOT NULL FROM pilotage.backfills") == [
        (True, True)
    ]
