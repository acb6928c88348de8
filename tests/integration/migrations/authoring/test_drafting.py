"""Drafted revisions: every kind of difference between the models and the revisions, written and proven."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.schema import SchemaItem

from deployments.local.postgres.cluster import Cluster
from migrations.authoring.catalog_of_models import build_models
from migrations.authoring.consistency.naming import check_names
from migrations.authoring.drafting.draft import Draft, draft_revisions, write
from migrations.authoring.drafting.files import revision_text
from migrations.authoring.drafting.revision_contents import RevisionContent, contents_of
from migrations.authoring.drafting.schema_changes import Comparison
from migrations.authoring.drafting.source_text import sources
from migrations.authoring.errors import DraftUnproven
from migrations.catalog.contents import Catalog, CatalogObject
from migrations.history.revisions import History
from migrations.models import Base

ROOT = Path(__file__).parents[4]
EMPTY = Catalog((CatalogObject("schema", "public", "schema"),))
SHOUT = """CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Loud: 100 %, and :loud.
  NEW.name := upper(NEW.name);
  RETURN NEW;
END $$"""
TRIGGER = "CREATE TRIGGER pets_shout BEFORE INSERT ON pets FOR EACH ROW EXECUTE FUNCTION shout()"
POLICY = "CREATE POLICY pets_owner ON pets FOR SELECT USING (owner = 1)"
SECURITY = "ALTER TABLE pets ENABLE ROW LEVEL SECURITY"
VIEW = "CREATE VIEW named WITH (security_invoker=true) AS SELECT id, name FROM pets WHERE name <> 'public.x'"


def models(
    *items: SchemaItem,
    beside: Iterable[str] = (),
    kind: tuple[str, ...] | None = None,
    kind_default: str | None = None,
    name: Column[str] | None = None,
    comment: str | None = None,
    more: Callable[[MetaData], object] | None = None,
) -> MetaData:
    metadata = MetaData()
    Table("people", metadata, Column("id", Integer, primary_key=True, autoincrement=False))
    columns: list[SchemaItem] = [Column("id", Integer, primary_key=True), Column("owner", Integer)]
    columns.append(name if name is not None else Column("name", String(100)))
    if kind:
        default = text(kind_default) if kind_default else None
        columns.append(Column("kind", Enum(*kind, name="Kind"), server_default=default))
    pets = Table("pets", metadata, *columns, *items, comment=comment)
    for statement in beside:
        event.listen(pets, "after_create", DDL(statement.replace("%", "%%")))
    if more:
        more(metadata)
    return metadata


@pytest.fixture
def server_dsn(server: Cluster) -> str:
    return server.superuser_dsn()


def shapes(drafted: Iterable[RevisionContent]) -> list[tuple[str, ...]]:
    """Of each revision its phase and its statements' beginnings."""
    return [(one.phase, *(" ".join(statement.split()[:4]) for statement in one.up)) for one in drafted]


def lots_of_tables(metadata: MetaData) -> None:
    Table(
        "visits",
        metadata,
        Column("id", Integer, Identity(always=True), primary_key=True),
        Column("petId", Integer, ForeignKey("pets.id", name="visits_pet_fkey", ondelete="CASCADE"), nullable=False),
        Column("note", Text, server_default=text("'it''s :fine, 100%'"), comment='What was said: "it\'s fine".'),
        Column("price", Numeric(10, 2), CheckConstraint("price > 0", name="visits_price_check"), nullable=False),
        Column("twice", Numeric(), nullable=True, server_default=None),
        UniqueConstraint("petId", "note", name="visits_once_key"),
        Index("visits_pet_idx", text('"petId" DESC'), postgresql_where=text("note <> 'a :b'")),
        comment="Visits.",
    )


CASES: dict[str, tuple[Callable[[], MetaData], Callable[[], MetaData], list[tuple[str, ...]]]] = {
    "a column": (
        models,
        lambda: models(Column("age", Integer, comment="In years.")),
        [("expand", "ALTER TABLE pets ADD", "COMMENT ON COLUMN pets.age")],
    ),
    "a required column": (
        models,
        lambda: models(Column("age", Integer, nullable=False)),
        [("expand", "ALTER TABLE pets ADD"), ("contract", "ALTER TABLE pets ALTER")],
    ),
    "a column gone": (
        lambda: models(Column("age", Integer, nullable=False, comment="In years.")),
        models,
        [("expand", "ALTER TABLE pets ALTER"), ("contract", "ALTER TABLE pets DROP")],
    ),
    "a default": (
        models,
        lambda: models(name=Column("name", String(100), server_default="Rex")),
        [("expand", "ALTER TABLE pets ALTER")],
    ),
    "not null": (
        models,
        lambda: models(name=Column("name", String(100), nullable=False)),
        [("contract", "ALTER TABLE pets ALTER")],
    ),
    "a generated column": (
        lambda: models(Column("loud", Text, Computed("upper(name)", persisted=True))),
        lambda: models(Column("loud", Text, Computed("lower(name)", persisted=True))),
        [("contract", "ALTER TABLE pets DROP", "ALTER TABLE pets ADD")],
    ),
    "a wider type": (
        models,
        lambda: models(name=Column("name", Text)),
        [("expand", "ALTER TABLE pets ALTER")],
    ),
    "a narrower type": (
        lambda: models(name=Column("name", String(100), server_default="Rex")),
        lambda: models(name=Column("name", String(50), server_default="Rex")),
        [("contract", "ALTER TABLE pets ALTER", "ALTER TABLE pets ALTER", "ALTER TABLE pets ALTER")],
    ),
    "an index": (
        models,
        lambda: models(Index("pets_name_idx", text("lower(name)"), postgresql_where=text("name <> 'public.x'"))),
        [("expand", "CREATE INDEX CONCURRENTLY pets_name_idx")],
    ),
    "another index": (
        lambda: models(Index("pets_name_idx", "name")),
        lambda: models(Index("pets_name_idx", text("name DESC"))),
        [("expand", "DROP INDEX CONCURRENTLY pets_name_idx"), ("expand", "CREATE INDEX CONCURRENTLY pets_name_idx")],
    ),
    "an index gone": (
        lambda: models(Index("pets_name_idx", "name", unique=True)),
        models,
        [("contract", "DROP INDEX CONCURRENTLY pets_name_idx")],
    ),
    "a foreign key": (
        models,
        lambda: models(_owner_key("CASCADE")),
        [("contract", "ALTER TABLE pets ADD"), ("contract", "ALTER TABLE pets VALIDATE")],
    ),
    "another foreign key": (
        lambda: models(_owner_key("CASCADE")),
        lambda: models(_owner_key("SET NULL")),
        [("contract", "ALTER TABLE pets DROP", "ALTER TABLE pets ADD"), ("contract", "ALTER TABLE pets VALIDATE")],
    ),
    "a check": (
        models,
        lambda: models(CheckConstraint("name <> 'a :b'", name="pets_name_check")),
        [("contract", "ALTER TABLE pets ADD"), ("contract", "ALTER TABLE pets VALIDATE")],
    ),
    "a check on a new column": (
        models,
        lambda: models(Column("age", Integer), CheckConstraint("age > 0", name="pets_age_check")),
        [("expand", "ALTER TABLE pets ADD", "ALTER TABLE pets ADD"), ("expand", "ALTER TABLE pets VALIDATE")],
    ),
    "a check that PostgreSQL reads back as another one": (
        lambda: models(CheckConstraint("name IN ('a', 'b')", name="pets_name_check")),
        lambda: models(
            CheckConstraint("name IN ('a', 'c')", name="pets_name_check"),
            Index("pets_name_idx", "id", postgresql_where=text("name IN ('a', 'b')")),
        ),
        [
            ("expand", "CREATE INDEX CONCURRENTLY pets_name_idx"),
            ("contract", "ALTER TABLE pets DROP", "ALTER TABLE pets ADD"),
            ("contract", "ALTER TABLE pets VALIDATE"),
        ],
    ),
    "unique": (
        models,
        lambda: models(UniqueConstraint("name", name="pets_name_key")),
        [("contract", "ALTER TABLE pets ADD")],
    ),
    "an enum": (
        models,
        lambda: models(kind=("CAT", "DOG"), kind_default="'CAT'"),
        [("expand", 'CREATE TYPE "Kind" AS', "ALTER TABLE pets ADD")],
    ),
    "a label": (
        lambda: models(kind=("CAT", "DOG"), kind_default="'CAT'"),
        lambda: models(kind=("ANT", "CAT", "COW", "DOG", "EEL"), kind_default="'EEL'"),
        [
            ("expand", 'ALTER TYPE "Kind" ADD', 'ALTER TYPE "Kind" ADD', 'ALTER TYPE "Kind" ADD'),
            ("expand", "ALTER TABLE pets ALTER"),
        ],
    ),
    "labels in another order": (
        lambda: models(Index("pets_cats_idx", "id", postgresql_where=text("kind = 'CAT'")), kind=("CAT", "DOG")),
        lambda: models(Index("pets_cats_idx", "id", postgresql_where=text("kind = 'CAT'")), kind=("DOG", "CAT")),
        [
            (
                "contract",
                "DROP INDEX pets_cats_idx",
                'ALTER TYPE "Kind" RENAME',
                'CREATE TYPE "Kind" AS',
                "ALTER TABLE pets ALTER",
                'DROP TYPE "Kind before"',
                "CREATE INDEX pets_cats_idx ON",
            )
        ],
    ),
    "a trigger": (
        models,
        lambda: models(beside=(SHOUT, TRIGGER)),
        [("expand", "CREATE FUNCTION shout() RETURNS", "CREATE TRIGGER pets_shout BEFORE")],
    ),
    "another function and trigger": (
        lambda: models(beside=(SHOUT, TRIGGER)),
        lambda: models(beside=(SHOUT.replace("upper", "lower"), TRIGGER.replace("INSERT", "UPDATE"))),
        [
            (
                "expand",
                "DROP TRIGGER pets_shout ON",
                "CREATE OR REPLACE FUNCTION",
                "CREATE TRIGGER pets_shout BEFORE",
            )
        ],
    ),
    "a function not for everybody": (
        models,
        lambda: models(beside=(SHOUT, "REVOKE ALL ON FUNCTION shout() FROM public")),
        [("expand", "CREATE FUNCTION shout() RETURNS", "REVOKE ALL ON FUNCTION")],
    ),
    "a policy": (
        models,
        lambda: models(beside=(POLICY, SECURITY)),
        [("expand", "CREATE POLICY pets_owner ON"), ("contract", "ALTER TABLE pets ENABLE")],
    ),
    "another policy": (
        lambda: models(beside=(POLICY, SECURITY)),
        lambda: models(beside=(f"{POLICY.replace('SELECT', 'ALL')} WITH CHECK (owner = 2)", SECURITY)),
        [("expand", "DROP POLICY pets_owner ON", "CREATE POLICY pets_owner ON")],
    ),
    "a view": (models, lambda: models(beside=(VIEW,)), [("expand", "CREATE VIEW named WITH")]),
    "another view": (
        lambda: models(beside=(VIEW,)),
        lambda: models(beside=(VIEW.replace("id, name", "name"),)),
        [("expand", "DROP VIEW named", "CREATE VIEW named WITH")],
    ),
    "comments": (
        lambda: models(comment="Beasts."),
        lambda: models(
            comment="It's :animals.", beside=(SHOUT, TRIGGER, "COMMENT ON TRIGGER pets_shout ON pets IS 'Loud.'")
        ),
        [
            (
                "expand",
                "CREATE FUNCTION shout() RETURNS",
                "CREATE TRIGGER pets_shout BEFORE",
                "COMMENT ON TABLE pets",
                "COMMENT ON TRIGGER pets_shout",
            )
        ],
    ),
    "grants": (
        lambda: models(beside=("GRANT SELECT, DELETE ON pets TO public",)),
        lambda: models(beside=("GRANT SELECT, UPDATE ON pets TO public", "GRANT INSERT (name) ON pets TO public")),
        [
            ("expand", "GRANT INSERT (name) ON"),
            ("contract", "REVOKE DELETE ON TABLE", "GRANT UPDATE ON TABLE"),
        ],
    ),
    "a sequence and a domain": (
        models,
        lambda: models(
            beside=("CREATE SEQUENCE numbers INCREMENT 5 CACHE 3", "CREATE DOMAIN age AS integer CHECK (VALUE > 0)")
        ),
        [("expand", "CREATE DOMAIN age AS", "CREATE SEQUENCE numbers AS")],
    ),
    "tables": (
        models,
        lambda: models(more=lots_of_tables),
        [
            (
                "expand",
                "CREATE TABLE visits (",
                "ALTER TABLE visits ADD",
                'CREATE INDEX visits_pet_idx ON',
                "COMMENT ON TABLE visits",
                "COMMENT ON COLUMN visits.note",
            )
        ],
    ),
}  # fmt: skip


def _owner_key(ondelete: str) -> SchemaItem:
    return ForeignKeyConstraint(["owner"], ["people.id"], name="pets_owner_fkey", ondelete=ondelete)


# Those whose way there or back is no plain CREATE, ALTER or DROP; all others are proven together, further down.
PROVEN = {
    "a narrower type",
    "another foreign key",
    "a check that PostgreSQL reads back as another one",
    "a label",
    "labels in another order",
    "another function and trigger",
    "another view",
    "a generated column",
    "grants",
    "a sequence and a domain",
}


@pytest.mark.parametrize("case", CASES)
def test_a_difference_is_drafted_with_its_phase_in_a_safe_form(server_dsn: str, tmp_path: Path, case: str) -> None:
    first, second, expected = CASES[case]
    if case in PROVEN:
        draft = draft_revisions(server_dsn, standing(tmp_path, server_dsn, first()), second(), message="second models")
        assert shapes(one.content for one in draft.revisions) == expected
        return
    before, after = (build_models(server_dsn, each())[0] for each in (first, second))
    assert shapes(contents_of(Comparison(before, after, owner="cloud_admin"))) == expected


def standing(folder: Path, dsn: str, metadata: MetaData) -> History:
    """A history that builds these models, whatever it is written of."""
    built, statements = build_models(dsn, metadata)
    (content,) = contents_of(Comparison(EMPTY, built, owner="cloud_admin", written_after=sources(statements)))
    text = revision_text(content, revision="20250101_0900", below=(), message="init models")
    (folder / "20250101_0900_init_models.py").write_text(text)
    return History.load(folder)


def everything() -> MetaData:
    return models(
        Column("age", Integer, comment="In years."),
        CheckConstraint("age > 0", name="pets_age_check"),
        _owner_key("CASCADE"),
        Index("pets_name_idx", text("lower(name)"), postgresql_where=text("name <> 'public.x'")),
        kind=("CAT", "DOG"),
        kind_default="'CAT'",
        comment="It's :animals.",
        beside=(SHOUT, TRIGGER, POLICY, SECURITY, VIEW, "GRANT SELECT (name) ON pets TO public"),
        more=lots_of_tables,
    )


def test_everything_comes_and_goes_and_nothing_is_left_to_draft(server_dsn: str, tmp_path: Path) -> None:
    history = standing(tmp_path, server_dsn, models())
    write(draft_revisions(server_dsn, history, everything(), message="everything"), tmp_path)
    history = History.load(tmp_path)
    assert draft_revisions(server_dsn, history, everything(), message="again") == Draft(())
    back = draft_revisions(server_dsn, history, models(), message="nothing")
    assert {one.content.phase for one in back.revisions} == {"expand", "contract"}
    write(back, tmp_path)
    assert [one.id for one in History.load(tmp_path).revisions] == sorted(
        one.id for one in History.load(tmp_path).revisions
    )
    assert check_names(History.load(tmp_path)).passed
    for command in (("check", "--ignore", "INP001,D"), ("format", "--check")):
        configured = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml", tmp_path]
        checked = subprocess.run(configured, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_our_own_models_are_drafted_from_nothing_in_the_order_of_their_columns(server_dsn: str, tmp_path: Path) -> None:
    (one,) = draft_revisions(server_dsn, History.load(tmp_path), Base.metadata, message="init everything").revisions
    assert one.content.phase == "expand"
    assert re.fullmatch(r"\d{8}_\d{4}_init_everything\.py", one.file)
    ast.parse(one.text)
    users = next(statement for statement in one.content.up if statement.startswith("CREATE TABLE users"))
    names = re.findall(r'^  "?(\w+)"? ', users, re.MULTILINE)
    assert names[: len(Base.metadata.tables["users"].columns)] == [
        c.name for c in Base.metadata.tables["users"].columns
    ]


def test_a_draft_that_cannot_be_proven_is_refused(server_dsn: str, tmp_path: Path) -> None:
    history = standing(tmp_path, server_dsn, models(beside=(SHOUT,)))
    integer = SHOUT.replace("RETURNS trigger", "RETURNS integer").replace("NEW.name := upper(NEW.name);", "")
    with pytest.raises(DraftUnproven, match="cannot change return type"):
        draft_revisions(server_dsn, history, models(beside=(integer.replace("RETURN NEW", "RETURN 1"),)), message="x")
    assert len(list(tmp_path.glob("*.py"))) == 1


def test_what_may_be_another_name_is_pointed_out(server_dsn: str, tmp_path: Path) -> None:
    history = standing(tmp_path, server_dsn, models(Column("age", Integer)))
    (note,) = draft_revisions(server_dsn, history, models(Column("years", Integer)), message="rename age").notes
    assert note.startswith("column pets.age goes and pets.years comes")
