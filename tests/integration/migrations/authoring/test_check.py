"""`pilotage check`: the revisions and the models, held against each other on a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.schema import SchemaItem
from typer.testing import CliRunner

from deployments.local.postgres.cluster import Cluster
from deployments.local.postgres.provisioning import ProvisionedDatabase
from flows.cli import app
from migrations.authoring.catalog_of_models import build_catalog_of_models
from migrations.authoring.consistency.finding import CheckResult
from migrations.authoring.consistency.models import check_models
from migrations.authoring.consistency.revision_checks import check_revisions
from migrations.catalog.contents import Catalog
from migrations.database.session import connect
from migrations.history.revisions import History
from migrations.recording.throwaway import throwaway_database

SHOUT = """CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$"""
BESIDE = (
    SHOUT,
    "CREATE TRIGGER pets_shout BEFORE INSERT ON pets FOR EACH ROW EXECUTE FUNCTION shout()",
    "CREATE POLICY pets_owner ON pets USING (true)",
    "ALTER TABLE pets ENABLE ROW LEVEL SECURITY",
    "CREATE VIEW named WITH (security_invoker) AS SELECT id, name FROM pets",
    "COMMENT ON TRIGGER pets_shout ON pets IS 'Loud.'",
)


def models(
    *,
    labels: tuple[str, ...] = ("CAT", "DOG"),
    length: int = 100,
    default: str | None = "'Rex'",
    comment: str = "Animals.",
    column_comment: str | None = None,
    checked: str = "length(name) > 1",
    ondelete: str = "CASCADE",
    where: str = "name <> ''",
    more: tuple[SchemaItem, ...] = (),
    beside: tuple[str, ...] = BESIDE,
) -> MetaData:
    metadata = MetaData()
    Table("people", metadata, Column("id", Integer, primary_key=True, autoincrement=False))
    pets = Table(
        "pets",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("owner", Integer, ForeignKey("people.id", name="pets_owner_fkey", ondelete=ondelete)),
        Column("kind", Enum(*labels, name="Kind"), nullable=False),
        Column("name", String(length), server_default=text(default) if default else None, comment=column_comment),
        CheckConstraint(checked, name="pets_name_check"),
        Index("pets_name_idx", "name", postgresql_where=text(where)),
        *more,
        comment=comment,
    )
    for statement in beside:
        event.listen(pets, "after_create", DDL(statement.replace("%", "%%")))
    return metadata


@pytest.fixture(scope="module")
def head(server: Cluster) -> Iterator[tuple[str, Catalog]]:
    """A database that has what the unchanged models say, as if revisions had built it."""
    dsn = server.superuser_dsn()
    with throwaway_database(dsn) as database:
        engine = create_engine("postgresql+psycopg://", creator=lambda: connect(database))
        models().create_all(engine)
        engine.dispose()
        yield database, build_catalog_of_models(dsn, models())


def test_equal_models_are_not_named(head: tuple[str, Catalog]) -> None:
    assert check_models(*head, models()).passed


CHANGES: dict[str, tuple[Callable[[], MetaData], set[str]]] = {
    "table": (
        lambda: models(beside=(*BESIDE, "CREATE TABLE extra (id integer)")),
        {"table extra", "column extra.id", "grant extra to cloud_admin"},
    ),
    "column": (lambda: models(more=(Column("age", Integer),)), {"column pets.age"}),
    "type": (lambda: models(length=90), {"column pets.name"}),
    "default": (lambda: models(default="'Max'"), {"column pets.name"}),
    "no default": (lambda: models(default=None), {"column pets.name"}),
    "check": (lambda: models(checked="length(name) > 2"), {"constraint pets.pets_name_check"}),
    "foreign key": (lambda: models(ondelete="RESTRICT"), {"constraint pets.pets_owner_fkey"}),
    "unique": (
        lambda: models(more=(UniqueConstraint("name", name="pets_name_key"),)),
        {"constraint pets.pets_name_key"},
    ),
    "partial index": (lambda: models(where="name <> 'x'"), {"index pets_name_idx"}),
    "expression index": (
        lambda: models(more=(Index("pets_lower_idx", text("lower(name)")),)),
        {"index pets_lower_idx"},
    ),
    "enum label": (lambda: models(labels=("CAT", "DOG", "COW")), {'enum "Kind"'}),
    "enum order": (lambda: models(labels=("DOG", "CAT")), {'enum "Kind"'}),
    "trigger": (
        lambda: models(beside=tuple(one.replace("BEFORE INSERT", "BEFORE UPDATE") for one in BESIDE)),
        {"trigger pets.pets_shout"},
    ),
    "function": (lambda: models(beside=tuple(one.replace("upper", "lower") for one in BESIDE)), {"function shout()"}),
    "policy": (
        lambda: models(beside=tuple(one.replace("true", "id > 0") for one in BESIDE)),
        {"policy pets.pets_owner"},
    ),
    "row-level security": (
        lambda: models(beside=(*BESIDE, "ALTER TABLE pets FORCE ROW LEVEL SECURITY")),
        {"table pets"},
    ),
    "grant": (lambda: models(beside=(*BESIDE, "GRANT SELECT ON pets TO public")), {"grant pets to public"}),
    "column grant": (
        lambda: models(beside=(*BESIDE, "GRANT SELECT (name) ON pets TO public")),
        {"grant pets.name to public"},
    ),
    "function grant": (
        lambda: models(beside=(*BESIDE, "REVOKE ALL ON FUNCTION shout() FROM public")),
        {"grant function shout() to public"},
    ),
    "view": (lambda: models(beside=tuple(one.replace("id, name", "id") for one in BESIDE)), {"view named"}),
    "comment": (lambda: models(comment="Beasts."), {"comment pets"}),
    "column comment": (lambda: models(column_comment="What it hears."), {"comment pets.name"}),
    "trigger comment": (
        lambda: models(beside=tuple(one.replace("Loud", "Quiet") for one in BESIDE)),
        {"comment trigger pets_shout on pets"},
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_in_the_models_is_named(head: tuple[str, Catalog], kind: str) -> None:
    changed, expected = CHANGES[kind]
    assert {found.subject for found in check_models(*head, changed()).findings} == expected


ONCE = """DO $$ BEGIN
  IF shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database') IS NULL THEN
    EXECUTE format($c$COMMENT ON DATABASE %I IS 'seen'$c$, current_database());
  ELSE
    ALTER TABLE things ADD x integer;
  END IF;
END $$"""


def revisions(folder: Path, up: str, down: str) -> History:
    (folder / "20250101_0900_create_things.py").write_text(
        "from alembic import op\n"
        "revision = '20250101_0900'\ndown_revision = None\nphase = 'expand'\n"
        "def upgrade() -> None:\n    op.execute('CREATE TABLE things (id integer)')\n"
        "def downgrade() -> None:\n    op.execute('DROP TABLE things')\n"
    )
    (folder / "20250102_0900_add_more.py").write_text(
        "from alembic import op\n"
        "revision = '20250102_0900'\ndown_revision = '20250101_0900'\nphase = 'expand'\n"
        f"ONCE = {ONCE!r}\n"
        f"def upgrade() -> None:\n    {up}\ndef downgrade() -> None:\n    {down}\n"
    )
    return History.load(folder)


def result_of(check: str, results: tuple[CheckResult, ...]) -> CheckResult:
    return next(one for one in results if one.check == check)


@pytest.mark.parametrize(
    ("up", "down", "expected", "note"),
    [
        (
            "op.execute('ALTER TABLE things ADD x text DEFAULT 1, ADD y text')",
            "op.execute('ALTER TABLE things DROP y')",
            [("20250102_0900", "its downgrade does not return: column things.x is left over")],
            "2 revisions",
        ),
        (
            "op.execute('CREATE DOMAIN one AS integer')",
            "pass",
            [
                ("20250102_0900", "its downgrade does not return: domain one is left over"),
                ("20250102_0900", "after its downgrade: revision 20250102_0900 failed (SQLSTATE 42710)"),
            ],
            "2 revisions",
        ),
        (
            "op.execute(ONCE)",
            "pass",
            [("20250102_0900", "the second time its upgrade makes something else: column things.x is left over")],
            "2 revisions",
        ),
        (
            "op.execute('DROP TABLE things')",
            "op.execute('CREATE TABLE things (id bigint)')",
            [("20250102_0900", "its downgrade does not return: column things.id is another one (integer -> bigint)")],
            "2 revisions",
        ),
        (
            "op.execute('ALTER TABLE things ADD x int DEFAULT 1')",
            "op.execute('SELECT 1/0')",
            [("20250102_0900", "downgrade: revision 20250102_0900 failed (SQLSTATE 22012)")],
            "2 revisions",
        ),
        (
            "op.execute('DROP TABLE things')",
            "raise NotImplementedError('the rows are gone')",
            [],
            "20250102_0900 has no way back: the rows are gone, at 20250102_0900_add_more.py:9",
        ),
        (
            "op.execute('DROP TABLE things')",
            "raise type('NotImplementedErrorOfTheServer', (Exception,), {})('it was away')",
            [("20250102_0900", "downgrade: revision 20250102_0900 failed: NotImplementedErrorOfTheServer")],
            "2 revisions",
        ),
        (
            "op.execute('DROP TABLE things')",
            "raise type('RowsAreGone', (NotImplementedError,), {})('the rows are gone')",
            [],
            "20250102_0900 has no way back: the rows are gone, at 20250102_0900_add_more.py:9",
        ),
        (
            "op.execute('SELECT nothing')",
            "pass",
            [("20250102_0900", "revision 20250102_0900 failed (SQLSTATE 42703)")],
            "2 revisions",
        ),
    ],
    ids=[
        "left over",
        "left over and in the way",
        "something else",
        "another one",
        "downgrade fails",
        "no way back",
        "downgrade fails with a name that begins alike",
        "no way back by an error of its own",
        "upgrade fails",
    ],
)
def test_a_revision_that_does_not_return_is_named(
    database: ProvisionedDatabase, tmp_path: Path, up: str, down: str, expected: list[tuple[str, str]], note: str
) -> None:
    results = check_revisions(database.owner_dsn, revisions(tmp_path, up, down), metadata=None)
    walked = result_of("up, down, up", results)
    shortened = [(found.subject, found.detail[: len(text)]) for found, (_, text) in zip(walked.findings, expected)]  # noqa: B905
    assert shortened == expected, walked
    assert len(walked.findings) == len(expected), walked
    assert walked.note == note


def test_our_own_revisions_pass(database: ProvisionedDatabase) -> None:
    ran = CliRunner().invoke(app, ["check", "--json", "--database-url", database.owner_dsn])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert said["ok"]
    assert [one["check"] for one in said["checks"] if not one["passed"]] == ["order of phases"]


def test_check_fails_and_says_why_for_a_person(
    database: ProvisionedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = revisions(tmp_path, "op.execute('ALTER TABLE things ADD x text')", "pass")
    monkeypatch.setattr("migrations.history.revisions.VERSIONS", history.folders[0])
    ran = CliRunner().invoke(app, ["check", "--since", "base", "--database-url", database.owner_dsn])
    assert ran.exit_code == 1
    assert "column things.x is left over" in ran.stdout
    assert "is made by the revisions, and the models lack it" in ran.stdout


def test_text_columns_are_not_taken_for_varchar(head: tuple[str, Catalog]) -> None:
    found = check_models(*head, models(more=(Column("note", Text),))).findings
    assert [one.detail for one in found] == ["is in the models and in no revision (text)"]
