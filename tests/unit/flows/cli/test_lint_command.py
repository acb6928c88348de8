"""`pilotage lint` as a shell sees it: exit codes, JSON, sections and files of plain SQL."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app

BAD = "SET lock_timeout = '2s';\nCREATE INDEX ON orders (a);\n"
GOOD = "CREATE INDEX CONCURRENTLY i ON orders (a);\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "change.sql"


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["lint", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_clean_is_0(file: Path) -> None:
    file.write_text(GOOD)
    code, said, _ = run("--sql", file)
    assert (code, said.strip()) == (0, "1 judged, 0 hazards, 0 waived")


def test_a_hazard_is_1_and_is_told_with_place_effect_and_safe_way(file: Path) -> None:
    file.write_text(BAD)
    code, said, _ = run("--sql", file)
    assert code == 1
    assert f"{file}:2: index-not-concurrent" in said
    assert "every INSERT, UPDATE and DELETE waits until it is built. Use CREATE INDEX CONCURRENTLY" in said


@pytest.mark.parametrize(
    ("text", "place"),
    [("SELECT 1;\nSELCT 2;\n", "change.sql:2: syntax error"), ("SELECT 'ääääääää';\n\nSELCT 2;", "change.sql:3: ")],
)
def test_a_text_that_is_no_sql_is_2_with_its_place(file: Path, text: str, place: str) -> None:
    file.write_text(text)
    code, _, said = run("--sql", file)
    assert code == 2
    assert place in said


def test_a_file_that_is_not_there_is_2(file: Path) -> None:
    code, _, said = run("--sql", file)
    assert code == 2
    assert "change.sql" in said


def test_files_without_sql_and_sql_without_files_are_2(file: Path) -> None:
    assert run(file)[0] == 2
    assert run("--sql")[0] == 2


def test_json_has_every_finding_with_its_waiver(file: Path) -> None:
    file.write_text(BAD + "-- waive truncate: it is empty\nTRUNCATE orders;\n")
    code, said, _ = run("--sql", file, "--json")
    document = json.loads(said)
    assert code == 1
    assert document["ok"] is False
    found = {one["hazard"]: one["waived_by"] for one in document["findings"]}
    assert found == {"index-not-concurrent": None, "truncate": "it is empty"}


def test_what_is_waived_is_told_once_a_file_with_its_reason(file: Path) -> None:
    waived = "-- waive truncate: it is empty\nTRUNCATE orders;\n"
    file.write_text(f"SET lock_timeout = '2s';\n{waived}{waived}")
    code, said, _ = run("--sql", file)
    assert code == 0
    assert f"~ {file}: truncate (waived, 2 times: it is empty)" in said


def test_several_files_are_one_history(tmp_path: Path) -> None:
    steps = (
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID",
        "ALTER TABLE orders VALIDATE CONSTRAINT c",
        "ALTER TABLE orders ALTER a SET NOT NULL",
    )
    files = [tmp_path / f"{number}.sql" for number in range(len(steps))]
    for file, step in zip(files, steps, strict=True):
        file.write_text(f"SET lock_timeout = '2s';\n{step};\n")
    assert run("--sql", *files)[0] == 0
    assert run("--sql", files[2], files[0], files[1])[0] == 1


def test_sections_of_a_file_are_one_history_and_each_is_released_for_itself(file: Path) -> None:
    file.write_text(f"-- 1.sql\nCREATE TABLE orders (id bigint, a text);\n-- 2.sql\n{BAD}")
    code, said, _ = run("--sql", file)
    assert code == 1
    assert ":5: index-not-concurrent" in said
    file.write_text(f"CREATE TABLE orders (id bigint, a text);\n{BAD}")
    assert run("--sql", file)[0] == 0


def test_begin_and_commit_draw_the_transactions(file: Path) -> None:
    apart = "BEGIN;\nALTER TABLE a ADD x int;\nCOMMIT;\nBEGIN;\nALTER TABLE b ADD x int;\nCOMMIT;\n"
    file.write_text("SET lock_timeout = '2s';\n" + apart)
    assert run("--sql", file)[0] == 0
    file.write_text("SET lock_timeout = '2s';\n" + apart.replace("COMMIT;\nBEGIN;\n", ""))
    assert "several-locks" in run("--sql", file)[1]


def test_a_lock_timeout_ends_with_its_transaction_where_it_is_local(file: Path) -> None:
    alter = "ALTER TABLE orders ADD x int;\n"
    file.write_text(f"BEGIN;\nSET LOCAL lock_timeout = '2s';\n{alter}COMMIT;\n")
    assert run("--sql", file)[0] == 0
    file.write_text(f"BEGIN;\nSET LOCAL lock_timeout = '2s';\nCOMMIT;\nBEGIN;\n{alter}COMMIT;\n")
    assert "lock-timeout-missing" in run("--sql", file)[1]
    file.write_text(f"SET lock_timeout TO 0;\n{alter}")
    assert "lock-timeout-missing" in run("--sql", file)[1]
    file.write_text(f"SELECT set_config('lock_timeout', '500ms', false);\n{alter}")
    assert run("--sql", file)[0] == 0


def test_a_database_that_does_not_answer_is_2(file: Path) -> None:
    file.write_text(GOOD)
    code, _, said = run("--sql", file, "--database-url", "postgresql://someone:secret@127.0.0.1:1/nothing")
    assert code == 2
    assert "secret" not in said


def test_a_history_that_is_not_there_is_2(tmp_path: Path) -> None:
    assert run("--script-location", tmp_path / "nowhere")[0] == 2


REVISION = '''"""Drop it."""
from alembic import op

revision, down_revision = "r0", None


def upgrade() -> None:
    op.execute("TRUNCATE orders")


def downgrade() -> None:
    op.execute("SELECT 1")
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Another Alembic project, whose env.py cannot run here."""
    versions = tmp_path / "db" / "changes"
    versions.mkdir(parents=True)
    (tmp_path / "db" / "env.py").write_text("import something.of.theirs")
    (versions / "r0_drop.py").write_text(REVISION)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "alembic.ini",
            "[alembic]\nscript_location = %(here)s/db\nversion_locations = %(here)s/db/changes\npath_separator = os\n",
        ),
        (
            "pyproject.toml",
            '[tool.alembic]\nscript_location = "%(here)s/db"\nversion_locations = ["%(here)s/db/changes"]\n',
        ),
    ],
)
def test_another_project_is_judged_by_its_own_configuration(project: Path, name: str, text: str) -> None:
    (project / name).write_text(text)
    code, said, _ = run("--config", project / name, "--json")
    document = json.loads(said)
    assert code == 1
    assert [(one["hazard"], one["revision"], one["line"]) for one in document["findings"]] == [("truncate", "r0", 8)]


def test_a_file_with_a_byte_order_mark_and_other_line_ends_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf-- 1.sql\r\nSELECT 1;\r\n-- 2.sql\r\nTRUNCATE orders;\r\n")
    code, said, _ = run("--sql", file)
    assert code == 1
    assert ":4: truncate" in said


def test_what_a_project_prints_is_no_part_of_the_report(project: Path) -> None:
    (project / "db" / "changes").rename(project / "db" / "versions")
    for file in project.rglob("*.py"):
        file.write_text(f'print("hello from {file.name}")\n' + file.read_text())
    code, said, aside = run("--script-location", project / "db", "--json")
    assert (code, json.loads(said)["judged"]) == (1, ["r0"])
    assert "hello from env.py" in aside
    assert "hello from r0_drop.py" in aside
