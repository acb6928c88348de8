"""Files of plain SQL as they are found: for psql, with a byte order mark, with lines that end as Windows ends them."""

from pathlib import Path

import pytest

from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql, read_sql
from migrations.sql.errors import SqlUnreadable


def lines(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.sql.split()[0]) for one in parse_sql(text, "a.sql").statements]


def found(text: str) -> list[tuple[str, int, str | None]]:
    history = parse_sql("SET lock_timeout = '2s';\n" + text, "a.sql")
    return [(one.hazard, one.line, one.waived_by) for one in lint(history.statements, None, history.waivers)]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.sql"
    file.write_bytes(b"\xef\xbb\xbf-- 1.sql\r\nCREATE TABLE a (id bigint);\r\n\r\n-- 2.sql\r\nDROP TABLE a;\r\n")
    assert [(one.line, one.revision) for one in read_sql([file]).statements] == [(2, "1.sql"), (5, "2.sql")]


@pytest.mark.parametrize("text", ["", "\n", "-- nothing\n", "/* nothing */"])
def test_a_file_without_statements_has_none(text: str) -> None:
    assert lines(text) == []


def test_the_rows_of_a_copy_are_no_statements() -> None:
    text = 'SELECT 1;\nCOPY public.t (a, "b")\n  FROM stdin;\n1\t;COPY x FROM stdin;\n\\.\n\nDROP TABLE t;\n'
    assert lines(text) == [(1, "SELECT"), (2, "COPY"), (7, "DROP")]


def test_a_remark_before_a_copy_changes_nothing() -> None:
    text = "--\n-- Name: a; Owner: x\n--\n\nCOPY public.a (b) FROM stdin;\n20250122_1030\n\\.\n\nSELECT 1;\n"
    assert lines(text) == [(5, "COPY"), (9, "SELECT")]


def test_what_psql_does_to_itself_is_passed_over() -> None:
    assert lines("\\restrict x\n\\set ON_ERROR_STOP on\n\\echo 'DROP'\nSELECT 1;\n\\timing\n") == [(4, "SELECT")]


@pytest.mark.parametrize("command", ["\\i other.sql", "\\ir other.sql", "\\gexec", "\\copy t from 'x'", "\\if :x"])
def test_what_psql_takes_from_elsewhere_cannot_be_told(command: str) -> None:
    with pytest.raises(SqlUnreadable, match=r"a\.sql:2: .*command of psql"):
        lines(f"SELECT 1;\n{command}\n")


def test_a_backslash_inside_a_text_is_no_command() -> None:
    assert lines("SELECT '\n\\i x\n';\nDO $$ BEGIN\n\\\nEND $$;") == [(1, "SELECT"), (4, "DO")]


@pytest.mark.parametrize(
    ("content", "message"), [(b"SELECT 1;\n\nALTER TABL x;", r":3: syntax error"), (b"\xff\xfe", "no text in UTF-8")]
)
def test_what_is_no_sql_is_told_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.sql"
    file.write_bytes(content)
    with pytest.raises(SqlUnreadable, match=message):
        read_sql([file])


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SqlUnreadable, match=r"absent\.sql:1: it cannot be read: No such file"):
        read_sql([tmp_path / "absent.sql"])
    with pytest.raises(SqlUnreadable, match="Is a directory"):
        read_sql([tmp_path])


def test_each_transaction_of_a_file_lets_its_locks_go() -> None:
    one = "BEGIN;\nALTER TABLE {} ADD x int;\nCOMMIT;\n"
    assert found(one.format("a") + one.format("b")) == []
    assert [hazard for hazard, *_ in found("BEGIN; ALTER TABLE a ADD x int; ALTER TABLE b ADD x int; END;")] == [
        "several-locks"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- waive column-dropped: unread\nALTER TABLE t DROP a;", [("column-dropped", 3, "unread")]),
        ("--WAIVE Column-Dropped - unread\n\n-- why\nALTER TABLE t\n DROP a;", [("column-dropped", 5, "unread")]),
        ("ALTER TABLE t DROP a; -- waive column-dropped: unread", [("column-dropped", 2, "unread")]),
        (
            "-- waive column-dropped: unread\nALTER TABLE t DROP a;\nALTER TABLE t DROP b;",
            [("column-dropped", 3, "unread"), ("column-dropped", 4, None)],
        ),
        (
            "-- waive column-dropped: unread\n-- waive required-column: set\nALTER TABLE t DROP a, ADD b int NOT NULL;",
            [("column-dropped", 4, "unread"), ("required-column", 4, "set")],
        ),
        (
            "-- waive column-dropped: unread\nDO $$ BEGIN\nALTER TABLE t DROP a;\nEND $$;",
            [("column-dropped", 4, "unread")],
        ),
        (
            "-- waive column-dropped: -\nALTER TABLE t DROP a;",
            [("column-dropped", 3, None), ("waiver-without-reason", 2, None)],
        ),
        (
            "SELECT '-- waive column-dropped: unread';\nALTER TABLE t DROP a;",
            [("column-dropped", 3, None)],
        ),
        ("-- waive column-dropped: nothing comes after it", [("waiver-unused", 2, None)]),
    ],
)
def test_a_waiver_holds_for_the_statement_after_it(text: str, expected: list[tuple[str, int, str | None]]) -> None:
    assert sorted(found(text)) == sorted(expected)
