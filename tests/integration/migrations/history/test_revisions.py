"""Every revision of our own: what it builds, its way back, and that both are the same on each server."""

import re
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from deployments.local.postgres.cluster import Cluster, dsn
from deployments.local.postgres.provisioning import Login, provision
from migrations.apply.migrate import Progress, downgrade, upgrade
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import connect
from migrations.history.revisions import History
from migrations.models import Base

NEWEST = 180000
NAME = re.compile(r"\d{8}_\d{4}_(init|add|create|update|remove|fix|migrate|optimize)_[a-z0-9_]+\.py")

HISTORY = History.load()
REVISIONS = [one.id for one in HISTORY.revisions]


@pytest.fixture(scope="module", params=[18, 15])
def owner(request: pytest.FixtureRequest) -> str:
    """The owner's connection string to an empty database of the newest server, then of the oldest."""
    return empty_database(request.getfixturevalue("server" if request.param == 18 else "oldest"))


def empty_database(server: Cluster) -> str:
    name = f"revisions_{secrets.token_hex(4)}"
    owner, app = Login(f"{name}_owner", secrets.token_urlsafe(12)), Login(f"{name}_app", secrets.token_urlsafe(12))
    with server.connect() as superuser:
        provision(superuser, database=name, owner=owner, app=app)
    return dsn(server.port, user=owner.name, password=owner.password, database=name)


class Walk:
    """The catalogue after each step of a walk along the history, by the revision that stands then."""

    def __init__(self, owner: str, connection: psycopg.Connection) -> None:
        self.owner = owner
        self.connection = connection

    def look(self) -> Catalog:
        return read_catalog(self.connection)

    def up(self) -> dict[str, Catalog]:
        seen: dict[str, Catalog] = {}

        def applied(progress: Progress) -> None:
            seen[progress.revision] = self.look()

        upgrade(self.owner, HISTORY, release_id="walk", on_event=applied)
        return seen

    def to_the_head(self) -> dict[str, Catalog]:
        upgrade(self.owner, HISTORY, release_id="walk")
        return {REVISIONS[-1]: self.look()}

    def down(self) -> dict[str, Catalog]:
        seen: dict[str, Catalog] = {}
        below = {one.id: one.down_revisions[0] if one.down_revisions else "base" for one in HISTORY.revisions}

        def taken_away(progress: Progress) -> None:
            seen[below[progress.revision]] = self.look()

        downgrade(self.owner, HISTORY, "base", on_event=taken_away)
        return seen


@pytest.fixture
def walk(owner: str) -> Iterator[Walk]:
    # Outside of a transaction: an open one would be waited for by what is built concurrently.
    with connect(owner, autocommit=True) as connection:
        yield Walk(owner, connection)


def differences(before: dict[str, Catalog], after: dict[str, Catalog]) -> dict[str, list[str]]:
    compared = {one: difference(before[one], after[one]) for one in before.keys() & after.keys()}
    return {one: [str(found) for found in compared[one]] for one in sorted(compared) if compared[one]}


def test_every_revision_returns_and_comes_again_with_the_same_catalogue(walk: Walk) -> None:
    empty = walk.look()
    first = walk.up()
    assert list(first) == REVISIONS
    back = walk.down()
    assert list(back) == [*reversed(REVISIONS[:-1]), "base"]
    assert differences({**first, "base": empty}, back) == {}
    # On one server each step is looked at again; on the other the whole way is enough.
    again = walk.up() if walk.connection.info.server_version >= NEWEST else walk.to_the_head()
    assert differences(first, again) == {}
    assert REVISIONS[-1] in again


def test_the_head_has_all_that_the_strategy_names_and_nothing_idle(walk: Walk) -> None:
    upgrade(walk.owner, HISTORY, release_id="head")
    head = walk.look()
    assert {one.name for one in head.of_kind("table")} == set(Base.metadata.tables)
    functions = walk.connection.execute(UNCALLED_FUNCTIONS).fetchall()
    unindexed = walk.connection.execute(UNINDEXED_FOREIGN_KEYS).fetchall()
    uncommented = walk.connection.execute(UNCOMMENTED_TABLES).fetchall()
    assert (len(head.of_kind("table")), len(head.of_kind("enum"))) == (41, 15)
    assert {name for (name,) in walk.connection.execute(CALLED_FUNCTIONS)} == TRIGGER_FUNCTIONS
    forced = {one.name for one in head.of_kind("table") if "row level security forced" in one.definition}
    assert len(forced) == 15
    assert forced == {one.name.split(".")[0] for one in head.of_kind("policy")}
    assert functions == [], "functions that no trigger calls"
    assert unindexed == [], "foreign keys without an index"
    assert uncommented == [], "tables without a comment"


TRIGGER_FUNCTIONS = {"touch_updated_at", "keep_conversation_counts", "keep_storage_usage"}
CALLED_FUNCTIONS = """
SELECT DISTINCT proname FROM pg_proc p JOIN pg_trigger g ON g.tgfoid = p.oid
WHERE pronamespace = 'public'::regnamespace
"""
UNCALLED_FUNCTIONS = """
SELECT proname FROM pg_proc p
WHERE pronamespace = 'public'::regnamespace AND prorettype = 'trigger'::regtype
  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = p.oid)
"""
# A foreign key is served by an index that begins with its columns and holds every row that it may reference.
UNINDEXED_FOREIGN_KEYS = """
SELECT k.conrelid::regclass::text, k.conname FROM pg_constraint k
WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND i.indisvalid
                  AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
ORDER BY 1, 2
"""
UNCOMMENTED_TABLES = """
SELECT relname FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
  AND obj_description(oid, 'pg_class') IS NULL
ORDER BY 1
"""


def test_every_revision_is_named_by_the_convention_and_says_its_phase() -> None:
    assert [one.path.name for one in HISTORY.revisions if not NAME.fullmatch(one.path.name)] == []
    assert sorted(REVISIONS) == REVISIONS
    assert {one.phase for one in HISTORY.revisions} <= {"expand", "contract"}
    assert len(HISTORY.heads) == 1


def test_what_is_built_concurrently_stands_alone_in_its_revision() -> None:
    for one in HISTORY.revisions:
        text = one.path.read_text()
        if "CONCURRENTLY" in text:
            assert text.count("op.execute(") == 2, one.path.name
            assert text.count("with op.get_context().autocommit_block():") == 2, one.path.name
