"""What users wrote to an added column is not taken for a revision's own because it wrote to the same row later."""

import secrets
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, ProvisionedDatabase, provision
from migrations.apply.migrate import upgrade
from migrations.catalog.contents import read_catalog
from migrations.database.session import reader
from migrations.history.revisions import History
from migrations.restore.reversal import written_to_additions

# What a later revision does to a table that is called {name}.
LATER = {
    "plain": "UPDATE {name} SET body = 'own'",
    "saved": "SAVEPOINT s; UPDATE {name} SET body = 'own'; RELEASE s",
    "caught": "DO $$ BEGIN UPDATE {name} SET body = 'own'; EXCEPTION WHEN unique_violation THEN NULL; END $$",
    "fired": "UPDATE {name}_source SET body = 'own'",
    "deferred": "UPDATE {name}_source SET body = 'own'",
    "parted": "UPDATE {name} SET body = 'own'",
    "moved": "UPDATE {name} SET id = id + 100",
    "keyless": "UPDATE {name} SET body = 'own'",
    "kept": "UPDATE {name} SET kind = coalesce(kind, 'own')",
    "twice": "UPDATE {name} SET body = 'own'",
    "again": "DELETE FROM {name} WHERE id = 2; INSERT INTO {name} VALUES (2, 'own', 'theirs')",
    "batched": "",
    "stirred": "",
    "stirredlater": "",
}
# Nobody but the revision can look at these tables, so that it cannot be told whether anything was there.
ALONE = {
    "altered": "ALTER TABLE {name} ADD COLUMN more text; UPDATE {name} SET body = 'own'",
    "rewritten": "ALTER TABLE {name} ALTER COLUMN id TYPE bigint",
}
NAMES = [f"{way}_{whose}" for way in (*LATER, *ALONE) for whose in ("theirs", "own")]
PARTED = "PARTITION BY RANGE (id); CREATE TABLE {0}_low PARTITION OF {0} FOR VALUES FROM (0) TO (100);"
HIGH = "CREATE TABLE {0}_high PARTITION OF {0} FOR VALUES FROM (100) TO (1000)"
FIRES = (
    "CREATE TABLE {0}_source (body text); INSERT INTO {0}_source VALUES ('');"
    "CREATE FUNCTION {0}_fire() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE {0} SET body = NEW.body; RETURN NEW; END $$;"
    "CREATE TRIGGER fire AFTER UPDATE ON {0}_source FOR EACH ROW EXECUTE FUNCTION {0}_fire()"
)
# The same at COMMIT.
DEFERS = FIRES.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER").replace(
    "FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"
)
# A row of one batch makes a trigger write to a row of another.
STIRS = (
    "CREATE FUNCTION {0}_stir() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE {0} SET body = 'stirred' WHERE id = 2; RETURN NEW; END $$;"
    "CREATE TRIGGER stir AFTER UPDATE ON {0} FOR EACH ROW WHEN (NEW.id = 150) EXECUTE FUNCTION {0}_stir();"
)
STIRS_LATER = STIRS.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER").replace(
    "FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"
)
TRIGGERS = {"fired": FIRES, "deferred": DEFERS, "stirred": STIRS, "stirredlater": STIRS_LATER}


@pytest.fixture(params=[18, 15])
def owner(request: pytest.FixtureRequest) -> str:
    """The owner's connection string to an empty database of the newest server, then of the oldest."""
    server: Cluster = request.getfixturevalue("server" if request.param == 18 else "oldest")
    name = f"overwritten_{secrets.token_hex(4)}"
    login, app = Login(f"{name}_owner", secrets.token_urlsafe(12)), Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=login, app=app)
    return dsn(server.port, user=login.name, password=login.password, database=name)


def table(name: str) -> str:
    key = "" if name.startswith("keyless") else ", PRIMARY KEY (id)"
    parts = (PARTED + HIGH).format(name) if name.startswith(("parted", "moved")) else ""
    rows = 250 if name.startswith(("batched", "stirred")) else 3
    return (
        f"CREATE TABLE {name} (id integer NOT NULL, body text{key}) {parts};"
        f"INSERT INTO {name} SELECT g, g FROM generate_series(1, {rows}) g;"
        + TRIGGERS.get(name.rpartition("_")[0], "").format(name)
    )


def above(name: str) -> str:
    return ', where="id > 100", verify=False' if name.startswith("stirred") else ""


def executed(statements: str) -> str:
    return f'    op.execute("""{statements}""")\n'


def history(folder: Path, *bodies: str) -> History:
    for number, body in enumerate(bodies, 1):
        below = f'"r{number - 1}"' if number > 1 else None
        (folder / f"r{number}.py").write_text(
            f'"""Step."""\nfrom alembic import op\nrevision = "r{number}"\ndown_revision = {below}\n\n\n'
            f"def upgrade():\n{body}\n\ndef downgrade():\n    pass\n"
        )
    return History.load(folder)


def as_user(owner: str, statements: str) -> None:
    with psycopg.connect(owner, autocommit=True) as user:
        user.execute(statements.encode())


def unclear(rows: int, what: str) -> str:
    return f"{rows} rows were written to {what} by the revisions or by users, which cannot be told"


def test_a_value_of_a_user_in_a_row_that_the_release_wrote_to_later_is_not_the_release_s(
    owner: str, tmp_path: Path
) -> None:
    batched = [name for name in NAMES if name.startswith(("batched", "twice", "stirred"))]
    later = {**LATER, **ALONE}
    revisions = history(
        tmp_path,
        executed(";".join(table(name) for name in NAMES)),
        executed(";".join(f"ALTER TABLE {name} ADD COLUMN kind text" for name in NAMES)),
        # What the release itself has put there before, in a transaction of its own.
        executed(";".join(f"UPDATE {name} SET kind = 'own' WHERE id = 1" for name in NAMES)),
        executed(";".join(later[name.rpartition("_")[0]].format(name=name) for name in NAMES)),
        "".join(f'    op.backfill("{name}", {{"body": "\'batched\'"}}{above(name)})\n' for name in batched),
    )
    upgrade(owner, revisions, target="r1", release_id="before")
    with reader(owner) as connection:
        before = read_catalog(connection)
    upgrade(owner, revisions, target="r3", release_id="r")
    # Users write to other columns everywhere, and to the added one in half of the tables.
    as_user(owner, ";".join(f"UPDATE {name} SET body = 'theirs' WHERE id = 3" for name in NAMES))
    as_user(owner, ";".join(f"UPDATE {name} SET kind = 'theirs' WHERE id = 2" for name in NAMES if "theirs" in name))
    upgrade(owner, revisions, release_id="r")
    with reader(owner) as connection:
        told = set(written_to_additions(connection, before))
    expected = {
        name: unclear(3 if name.startswith("kept") else 2, f"{name}.kind") for name in NAMES if "theirs" in name
    }
    expected |= {f"{way}_own": unclear(1, f"{way}_own.kind") for way in ALONE}
    # A partition is a table with the column, too.
    expected["parted_theirs_low"] = unclear(2, "parted_theirs_low.kind")
    expected["moved_theirs_high"] = unclear(2, "moved_theirs_high.kind")
    assert told == set(expected.values())


def test_rows_of_users_in_a_table_that_was_added_are_theirs_whatever_writes_to_them_later(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    tables = ("tags", "marks")
    revisions = history(
        tmp_path,
        executed("SELECT 1"),
        executed(
            ";".join(
                f"CREATE TABLE {name} (id serial PRIMARY KEY, body text); INSERT INTO {name} (body) VALUES ('own')"
                for name in tables
            )
        ),
        executed(";".join(f"UPDATE {name} SET body = 'later'" for name in tables)),
    )
    upgrade(database.owner_dsn, revisions, target="r1", release_id="before")
    with reader(database.owner_dsn) as connection:
        before = read_catalog(connection)
    upgrade(database.owner_dsn, revisions, target="r2", release_id="r")
    as_user(database.owner_dsn, "INSERT INTO tags (body) VALUES ('theirs')")
    upgrade(database.owner_dsn, revisions, release_id="r")
    with reader(database.owner_dsn) as connection:
        assert written_to_additions(connection, before) == (unclear(2, "tags"),)


@pytest.mark.parametrize("noted", [True, False], ids=["the release looked", "an older version applied it"])
def test_defaults_of_any_type_hide_nothing_and_without_a_look_nothing_is_taken_for_certain(
    database: ProvisionedDatabase, tmp_path: Path, noted: bool
) -> None:
    added = "j json DEFAULT '{}'", "n numeric(5, 2) DEFAULT 3", "s bigserial", "t timestamptz", "kind text DEFAULT 'k'"
    revisions = history(
        tmp_path,
        executed("CREATE TABLE notes (id serial PRIMARY KEY, body text); INSERT INTO notes (body) VALUES (1), (2)"),
        executed(";".join(f"ALTER TABLE notes ADD COLUMN {one}" for one in added)),
        executed("UPDATE notes SET kind = 'own' WHERE id = 1"),
        executed("UPDATE notes SET body = 'own'"),
    )
    upgrade(database.owner_dsn, revisions, target="r1", release_id="before")
    upgrade(database.owner_dsn, revisions, target="r3", release_id="r")
    as_user(database.owner_dsn, "UPDATE notes SET body = 'theirs' WHERE id = 2")
    upgrade(database.owner_dsn, revisions, release_id="r")
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT a.attname FROM pilotage.overwritten_additions o"
            " JOIN pg_attribute a ON a.attrelid = o.relation AND a.attnum = o.attribute"
        ).fetchall()
        # A sequence has given each row another value, and so has whoever wrote the row last.
        assert found == [("s",)]
        for name in ("j", "n", "s", "t"):
            connection.execute(f"ALTER TABLE notes DROP COLUMN {name}".encode())
        with reader(database.owner_dsn) as session:
            now = read_catalog(session)
        connection.execute("DROP TABLE IF EXISTS pilotage.overwritten_additions" if not noted else "SELECT 1")
    before = type(now).from_json(now.to_json())
    kept = tuple(one for one in before.objects if (one.kind, one.name) != ("column", "notes.kind"))
    with reader(database.owner_dsn) as session:
        told = written_to_additions(session, type(now)(kept))
    assert told == (() if noted else (unclear(1, "notes.kind"),))
