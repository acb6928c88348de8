"""Drafted revisions as files: what is written is Python that gives the statement back."""

import pytest

from migrations.authoring.drafting.files import revision_text
from migrations.authoring.drafting.names import unqualified
from migrations.authoring.drafting.revision_contents import RevisionContent, contents_of
from migrations.authoring.drafting.schema_changes import Comparison
from migrations.authoring.drafting.source_text import sources
from migrations.catalog.contents import Catalog, CatalogObject

LONG = " AND ".join(f"\"column{number}\" = 'it''s {number}'" for number in range(20))
STATEMENTS = [
    "SELECT 1",
    'COMMENT ON TABLE "a" IS \'it\'\'s\'',
    "COMMENT ON TABLE a IS 'back\\slash, 100% and :name'",
    f"ALTER TABLE a ADD CONSTRAINT b CHECK ({LONG})",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n  -- \"\"\" and ''' and ::text\n  SELECT 'a' $$",
    "COMMENT ON TABLE a IS 'two\n  lines'",
    "CREATE TABLE a (\n  b text,\n  c text\n)",
]  # fmt: skip


class Operations:
    """What a revision calls; keeps what it would send."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def execute(self, statement: str) -> None:
        self.sent.append(statement)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_comes_back_word_for_word(statement: str) -> None:
    text = revision_text(RevisionContent("expand", (statement,), ()), revision="20250101_0900", below=(), message="x")
    # A comment in a test of ours may be as long as it is; what we break has to fit.
    assert max(len(line) for line in text.splitlines()) <= 120
    operations = Operations()
    scope: dict[str, object] = {}
    exec(text.replace("from alembic import op", ""), scope)  # noqa: S102
    scope["op"] = operations
    upgrade = scope["upgrade"]
    assert callable(upgrade)
    upgrade()
    (sent,) = operations.sent
    sent = sent.replace("\\:", ":")
    if "\n" in statement and ("'two" in statement or "$$" in statement):
        assert sent.strip() == statement
    else:
        assert sent.split() == statement.split()


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("public.users", "users"),
        ("'public.x'::public.\"Kind\"", "'public.x'::\"Kind\""),
        ('other.public.x, "public.".y, republic.z', 'other.public.x, "public.".y, republic.z'),
        ("$q$public.x$q$ || public.f()", "$q$public.x$q$ || f()"),
    ],
)
def test_public_is_cut_from_names_and_from_nothing_else(definition: str, expected: str) -> None:
    assert unqualified(definition) == expected


def test_the_words_that_made_an_object_are_found() -> None:
    found = sources(
        [
            "CREATE TABLE \"t\" (a text CONSTRAINT \"A_check\" CHECK (a IN ('(', 'b')), b int)",
            'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON "t" (a)',
            'CREATE POLICY "P" ON "t" USING (true);',
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "ALTER TABLE public.t ADD CONSTRAINT c CHECK (b > 0) NOT VALID",
            "INSERT INTO t VALUES ('CONSTRAINT x CHECK (1)')",
        ]
    )
    assert found == {
        ("constraint", ("t", "A_check")): "CHECK (a IN ('(', 'b'))",
        ("index", ("I",)): 'CREATE UNIQUE INDEX "I" ON "t" (a)',
        ("policy", ("t", "P")): 'CREATE POLICY "P" ON "t" USING (true)',
        ("view", ("v",)): "CREATE VIEW v AS SELECT 1",
        ("constraint", ("t", "c")): "CHECK (b > 0)",
    }


def test_an_index_goes_with_its_table_however_it_was_quoted() -> None:
    before = Catalog.of(
        [
            CatalogObject("table", "t", "table"),
            CatalogObject("column", "t.a", "text"),
            CatalogObject("index", "t_idx", "CREATE INDEX t_idx ON public.t USING btree (a)"),
        ]
    )
    written = sources(['CREATE INDEX "t_idx" ON "t" (a)'])
    (content,) = contents_of(Comparison(before, Catalog(()), written_before=written))
    assert content.up == ("DROP TABLE t",)
    assert content.down == ("CREATE TABLE t (\n  a text\n)", 'CREATE INDEX "t_idx" ON "t" (a)')
