"""The models as a Prisma schema: what it says, and what it says that it cannot."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSONB, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase
from typer.testing import CliRunner

from flows.cli import app
from migrations.models import Base
from migrations.prisma.document import PrismaSchema, prisma_schema


class Small(DeclarativeBase):
    """A few tables with what is hard to say."""


def key() -> Column[Any]:
    return Column("id", UUID(), primary_key=True, server_default=text("gen_random_uuid()"))


class Person(Small):
    """Who reads."""

    __table__ = Table(
        "people",
        Small.metadata,
        key(),
        Column("mail", String(255), nullable=False, unique=True),
        Column(
            "kind", Enum("READER", "not-a-name", name="Kind"), server_default=text("'READER'::\"Kind\""), nullable=False
        ),
        Column("boss", UUID(), ForeignKey("people.id", ondelete="SET NULL", onupdate="CASCADE")),
        Column("debt", Numeric(12, 2), server_default=text("0.00"), nullable=False),
        Column("made", TIMESTAMP(precision=3), server_default=text("CURRENT_TIMESTAMP"), nullable=False),
        Column("updatedAt", TIMESTAMP(precision=3, timezone=True), nullable=False),
        Column("tags", ARRAY(Text), server_default=text("'{}'"), nullable=False),
        Column("notes", JSONB, server_default=text("'{\"a\": \"it''s\"}'::jsonb"), nullable=False),
        Column("2nd name", Text),
        Column("pause", INTERVAL),
        Column("rank", SmallInteger, server_default=text("(7)::smallint")),
        Column("code", String(8), server_default=text("upper('x')")),
        Column("secret", Text, info={"encrypted": True}, comment="The number\nof the card."),
        CheckConstraint("debt >= 0", name="people_debt_check"),
        comment="Who reads.",
    )


class Loan(Small):
    """A book that somebody has."""

    __table__ = Table(
        "loans",
        Small.metadata,
        Column("reader", UUID(), ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
        Column("copyId", Integer, primary_key=True),
        Column(
            "lenderId", UUID(), ForeignKey("people.id", name="loans_lender_fk", ondelete="RESTRICT"), nullable=False
        ),
        Column("days", Integer, Computed("1 + 1")),
        UniqueConstraint("lenderId", "days", name="loans_twice_key"),
        Index("loans_days_idx", text("days DESC"), "copyId"),
        Index("loans_open_idx", "copyId", postgresql_where=text("days > 3")),
        Index("loans_lower_idx", text("abs(days)")),
        Index("loans_none_key", "days", unique=True, postgresql_nulls_not_distinct=True),
    )


class Fine(Small):
    """What a loan costs."""

    __table__ = Table(
        "fines",
        Small.metadata,
        key(),
        Column("reader", UUID(), nullable=False),
        Column("copyId", Integer),
        Column("payerId", UUID(), ForeignKey("people.id"), unique=True),
        Column("elsewhereId", Integer),
        ForeignKeyConstraint(
            ["reader", "copyId"], ["loans.reader", "loans.copyId"], name="fines_loan_fkey", ondelete="SET NULL"
        ),
        ForeignKeyConstraint(["elsewhereId"], ["loans.copyId"], name="fines_elsewhere_fkey", deferrable=True),
    )


event.listen(
    Person.__table__,
    "after_create",
    DDL('CREATE TRIGGER "people_touch" BEFORE UPDATE ON "people" EXECUTE FUNCTION f()'),
)
event.listen(Small.metadata, "after_create", DDL('ALTER TABLE "people" ENABLE ROW LEVEL SECURITY'))
event.listen(Small.metadata, "after_create", DDL('CREATE POLICY "people_own" ON "people" FOR ALL USING (true)'))


def models(schema: PrismaSchema) -> dict[str, list[str]]:
    """The lines of each model and enum, without the spaces that put them one under another."""
    found = re.findall(r"^(?:model|enum) (\w+) \{\n(.*?)^\}$", schema.text, re.MULTILINE | re.DOTALL)
    return {name: [" ".join(line.split()) for line in body.splitlines() if line.strip()] for name, body in found}


@pytest.fixture(scope="module")
def small() -> dict[str, list[str]]:
    return models(prisma_schema(Small))


@pytest.mark.parametrize(
    "line",
    [
        'id String @id @default(dbgenerated("gen_random_uuid()")) @db.Uuid',
        "mail String @unique @db.VarChar(255)",
        "kind Kind @default(READER)",
        "boss String? @db.Uuid",
        "debt Decimal @default(0.00) @db.Decimal(12, 2)",
        "made DateTime @default(now()) @db.Timestamp(3)",
        "updatedAt DateTime @updatedAt @db.Timestamptz(3)",
        "tags String[] @default([]) @db.Text",
        'notes Json @default("{\\"a\\": \\"it\'s\\"}") @db.JsonB',
        'x2nd_name String? @map("2nd name") @db.Text',
        'pause Unsupported("INTERVAL")?',
        "rank Int? @default(7) @db.SmallInt",
        "code String? @default(dbgenerated(\"upper('x')\")) @db.VarChar(8)",
        '@@map("people")',
    ],
)
def test_a_column_keeps_its_type_its_default_and_its_name(small: dict[str, list[str]], line: str) -> None:
    assert line in small["Person"]


def test_an_enum_keeps_labels_that_are_no_names(small: dict[str, list[str]]) -> None:
    assert small["Kind"] == ["READER", 'not_a_name @map("not-a-name")']


def test_comments_and_ciphertext_stand_above_their_column(small: dict[str, list[str]]) -> None:
    place = small["Person"].index("secret String? @db.Text")
    assert small["Person"][place - 2 : place] == [
        "/// The number of the card.",
        "/// Ciphertext: the application encrypts and decrypts it.",
    ]
    assert "/// Who reads.\nmodel Person {" in prisma_schema(Small).text


def test_several_relations_between_two_models_have_names_and_both_sides(small: dict[str, list[str]]) -> None:
    person, loan = small["Person"], small["Loan"]
    assert (
        'readerPerson Person @relation("Loan_reader", fields: [reader], references: [id], '
        "onDelete: Cascade, onUpdate: NoAction)" in loan
    )
    assert (
        'lender Person @relation("Loan_lenderId", fields: [lenderId], references: [id], '
        'onDelete: Restrict, onUpdate: NoAction, map: "loans_lender_fk")' in loan
    )
    assert 'loans Loan[] @relation("Loan_reader")' in person
    assert 'loansByLenderId Loan[] @relation("Loan_lenderId")' in person


def test_a_table_that_references_itself_has_both_sides(small: dict[str, list[str]]) -> None:
    assert (
        'bossPerson Person? @relation("Person_boss", fields: [boss], references: [id], '
        "onDelete: SetNull, onUpdate: Cascade)" in small["Person"]
    )
    assert 'persons Person[] @relation("Person_boss")' in small["Person"]


def test_what_is_referenced_once_is_one_and_not_many(small: dict[str, list[str]]) -> None:
    assert "payerId String? @unique @db.Uuid" in small["Fine"]
    assert "fine Fine?" in small["Person"]


def test_keys_and_indexes_of_several_columns_keep_their_order_and_names(small: dict[str, list[str]]) -> None:
    assert "@@id([reader, copyId])" in small["Loan"]
    assert '@@unique([lenderId, days], map: "loans_twice_key")' in small["Loan"]
    assert '@@index([days(sort: Desc), copyId], map: "loans_days_idx")' in small["Loan"]


def test_a_key_of_several_columns_is_a_relation_and_what_is_lost_is_said(small: dict[str, list[str]]) -> None:
    assert (
        "copy Loan? @relation(fields: [reader, copyId], references: [reader, copyId], "
        'onDelete: NoAction, onUpdate: NoAction, map: "fines_loan_fkey")' in small["Fine"]
    )


def test_everything_that_has_no_words_is_named_with_its_reason() -> None:
    schema = prisma_schema(Small)
    told = [str(one) for one in schema.unexpressed]
    assert told == [
        "people: CHECK people_debt_check: debt >= 0",
        "people: type of pause: the client neither reads nor writes it",
        "people: trigger people_touch",
        "loans: index loans_lower_idx: it is on an expression, abs(days)",
        "loans: unique index loans_none_key: NULLS NOT DISTINCT",
        "loans: index loans_open_idx: it is partial, WHERE days > 3",
        "loans: generated column days: 1 + 1",
        "fines: foreign key fines_elsewhere_fkey: it references copyId, which Prisma does not know to be unique",
        "fines: foreign key fines_loan_fkey: ON DELETE SET NULL: written as NoAction",
        "people: row-level security (enable)",
        "people: policy people_own",
    ]
    for one in schema.unexpressed:
        assert f"// Not expressed here: {str(one).partition(': ')[2]}" in schema.text


def test_every_table_column_index_and_key_of_the_application_is_written_or_named() -> None:
    schema = prisma_schema(Base)
    written = models(schema)
    lost = " ".join(str(one) for one in schema.unexpressed if "written as" not in str(one))
    by_table = {line.split('"')[1]: lines for lines in written.values() for line in lines if line.startswith("@@map")}
    for table in Base.metadata.tables.values():
        lines = by_table[table.name]
        fields = [line.split()[0] for line in lines if not line.startswith(("@", "/"))]
        assert [name for name, times in Counter(fields).items() if times > 1] == []
        assert {column.name for column in table.columns} <= set(fields)
        keys = [line for line in lines if "fields: [" in line]
        assert len(keys) == len([key for key in table.foreign_key_constraints if f"foreign key {key.name}" not in lost])
        indexes = [line for line in lines if line.startswith(("@@index", "@@unique")) or " @unique" in line]
        unique = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
        kept = [index for index in table.indexes if f"index {index.name}:" not in lost]
        assert len(indexes) == len(kept) + len(unique)
    names = Counter(re.findall(r'@relation\("(\w+)"', schema.text))
    assert {name: times for name, times in names.items() if times != 2} == {}


def test_the_command_writes_the_file_and_tells_the_rest_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "schema.prisma"
    result = CliRunner().invoke(app, ["schema", "--prisma", "--output", str(file)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_text() == prisma_schema(Base).text
    assert "CHECK monthly_usage_month_check" in result.stderr
    assert CliRunner().invoke(app, ["schema"]).exit_code == 1
