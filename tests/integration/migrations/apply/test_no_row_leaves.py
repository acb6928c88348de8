"""Statements are told by their shape, and failures without a row's value or a password that a statement sets."""

import asyncio
import re
import shutil
import traceback
from pathlib import Path

import psycopg
import pytest

from deployments.local.postgres.provisioning import ProvisionedDatabase
from migrations.apply.blocking_monitor import BlockedSession
from migrations.apply.errors import HalfApplied, StatementTooLong
from migrations.apply.migrate import upgrade
from migrations.disclosure.normalized_statements import normalized
from migrations.disclosure.server_messages import safe_message
from migrations.errors import DatabaseRefused, RevisionFailed, Session
from migrations.history.revisions import History

VALUES = ("ana@example.com", "123-45-6789", "F32.1", "4711", "Tr0ub4dor")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "SELECT /* for ana@example.com */ * FROM patients WHERE email = 'ana@example.com' AND id = 4711 -- F32.1",
            "SELECT * FROM patients WHERE email = $1 AND id = $2",
        ),
        ("UPDATE t SET a = $1, b = 'F32.1' WHERE id IN (1, 4711)", "UPDATE t SET a = $1, b = $2 WHERE id IN ($3, $4)"),
        ("ALTER ROLE app PASSWORD 'Tr0ub4dor'", "ALTER ROLE app PASSWORD $1"),
        ("DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''Tr0ub4dor'''; END $$", "DO $1"),
        ("SELECT dblink_connect('host=h password=Tr0ub4dor')", "SELECT dblink_connect($1)"),
        ("SET app.patient = 'F32.1'; SET app.who TO ana, 4711", "SET app.patient = $1; SET app.who TO $2, $3"),
        ("INSERT INTO t VALUES (E'F32.1', U&'4711', X'4711', B'01', 4711.5, -4711)", None),
        ("SELECT 'cut off in F32.1", "SELECT …"),
        ("/* ana@example.com */ INSERT INTO t VALUES ('F32.1', 'cut", "INSERT INTO …"),
        ("SELECT 'a\\' || F32.1 || \\'b'", "SELECT …"),
        ("autovacuum: VACUUM public.patients", "autovacuum: VACUUM public.patients"),
        ("CREATE TABLE t (a int)", "CREATE TABLE t (a int)"),
        ("", ""),
    ],
)
def test_a_shape_names_what_a_statement_does_and_none_of_its_values(statement: str, told: str | None) -> None:
    shown = normalized(statement)
    assert told is None or shown == told
    assert [value for value in VALUES if value in shown] == []
    assert normalized(shown) == shown


def test_nothing_that_names_a_statement_can_hold_a_literal() -> None:
    secret = "UPDATE patients SET code = 'F32.1' WHERE ssn = '123-45-6789'"
    session = Session(1, "app", "web", 3.0, secret, None)
    told = [
        str(session),
        repr(session),
        repr(BlockedSession(1, "app", "web", secret, 5)),
        str(StatementTooLong("a1", secret, 10, ["t"])),
        str(HalfApplied("a1", [secret], secret)),
        str(RevisionFailed("a1", sqlstate="22000", statement=secret, message="no")),
        repr(vars(RevisionFailed("a1", sqlstate="22000", statement=secret, message="no"))),
    ]
    assert [text for text in told if any(value in text for value in VALUES)] == []
    assert "UPDATE patients SET code = $1 WHERE ssn = $2" in told[0]


FAILING = {
    "INSERT INTO patients VALUES (2, '123-45-6789', 'x', 1)": ("patients_ssn_key", "Key (ssn)"),
    "INSERT INTO patients VALUES (4711, NULL, 'F32.1', 1)": ('column "ssn"', "patients"),
    "INSERT INTO patients VALUES (4711, 'a', 'F32.1', -4711)": ("patients_age_check",),
    "INSERT INTO visits VALUES (4711)": ("visits_patient_fkey", "visits"),
    "DELETE FROM patients": ("visits_patient_fkey",),
    "ALTER TABLE patients ALTER code TYPE int USING code::int": ("invalid input syntax for type integer",),
    "SELECT '4711-99-99'::date": ("date/time field value out of range",),
    "SELECT '99999999994711'::int": ("is out of range for type integer",),
    "SELECT '{4711'::int[]": ("malformed array literal",),
    "SELECT 'ana@example.com'::mood": ("invalid input value for enum mood",),
    """SELECT '{"a": F32.1}'::json""": ("invalid input syntax for type json",),
    "SELECT refused('ana@example.com')": ("function refused(text), line 1, raised an exception",),
    "SELECT disguised('ana@example.com')": ("function disguised(text), line 1, raised an exception",),
    "DO $$ BEGIN RAISE EXCEPTION 'the code % is unknown', (SELECT code FROM patients); END $$": (
        "the code … is unknown",
    ),
    "DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = (SELECT code FROM patients) || ' is unknown: ' || 'stop'; END $$": (
        "… is unknown: stop",
    ),
    "DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = (SELECT code FROM patients); END $$": ("a DO block, line 1",),
    "DO $$ BEGIN RAISE EXCEPTION 'say this'; END $$": ("say this",),
    "ALTER ROLE nobody_here PASSWORD 'Tr0ub4dor'": ('role "nobody_here" does not exist',),
    "ALTER ROLE nobody_here PASSWORD 'it's Tr0ub4dor'": ("unrecognized role option",),
    "ALTER ROLE nobody_here PASSWORD 'Tr0ub4dor": ("unterminated quoted string",),
    "COPY patients FROM STDIN": ("invalid input syntax for type integer",),
}


def send(session: psycopg.Connection, statement: str) -> None:
    if not statement.startswith("COPY"):
        session.execute(statement.encode())
        return
    with session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(b"ana@example.com\t123-45-6789\tF32.1\t4711\n")


@pytest.mark.parametrize("statement", FAILING)
def test_a_failure_is_told_with_its_constraint_and_without_a_row(database: ProvisionedDatabase, statement: str) -> None:
    with psycopg.connect(database.owner_dsn, autocommit=True) as session:
        session.execute(
            """
            CREATE TYPE mood AS ENUM ('fine');
            CREATE TABLE patients (id int PRIMARY KEY, ssn text NOT NULL UNIQUE, code text, age int CHECK (age > 0));
            CREATE TABLE visits (patient int CONSTRAINT visits_patient_fkey REFERENCES patients);
            INSERT INTO patients VALUES (1, '123-45-6789', 'F32.1', 7);
            INSERT INTO visits VALUES (1);
            CREATE FUNCTION refused(text) RETURNS void LANGUAGE plpgsql
                AS 'BEGIN RAISE EXCEPTION ''% is ill'', $1; END';
            CREATE FUNCTION disguised(text) RETURNS void LANGUAGE plpgsql
                AS 'BEGIN RAISE unique_violation USING MESSAGE = $1; END';
            """
        )
        with pytest.raises(psycopg.Error) as caught:
            send(session, statement)
    told = [safe_message(caught.value, statement), str(DatabaseRefused.of(database.owner_dsn, "trying", caught.value))]
    for text in told:
        assert [value for value in VALUES if value in text] == [], text
    assert [wanted for wanted in FAILING[statement] if wanted not in told[0]] == [], told[0]


READS = 'row = op.get_bind().exec_driver_sql("SELECT ssn, code FROM patients").one()'
CAUGHT = "\n    try: raise KeyError(row.ssn)\n    except KeyError"
RAISES = {
    "raise ValueError(row)": "ValueError, at r2.py:",
    "raise ValueError(f'the code {row.code}, {row.ssn!r}, is new')": "ValueError: the code …, is new, at r2.py:",
    "raise ValueError('%s is unknown' % row.code)": "ValueError: … is unknown, at r2.py:",
    "raise ValueError('{0.code}, beside {0.ssn}, is new'.format(row))": "ValueError: …, beside …, is new, at r2.py:",
    "int(row.code)": "ValueError, at r2.py:",
    "{}[row.ssn]": "KeyError, at r2.py:",
    "getattr(op, row.code)": "AttributeError, at r2.py:",
    "row.nothing": "AttributeError: Could not locate column in row for column 'nothing', at r2.py:",
    "nobody(row)": "NameError: name 'nobody' is not defined, at r2.py:",
    "assert row.code is None, row": "AssertionError, at r2.py:",
    "raise ValueError('the codes are old')": "ValueError: the codes are old, at r2.py:",
    "raise ExceptionGroup('all are old', [ValueError(row)])": "ExceptionGroup: all are old…, at r2.py:",
    "error = ValueError('it is old'); error.add_note(str(row)); raise error": "ValueError: it is old, at r2.py:",
    f"{CAUGHT} as error: raise ValueError('it is old') from error": "ValueError: it is old, at r2.py:",
    f"{CAUGHT}: raise ValueError('it is old')": "ValueError: it is old, at r2.py:",
    "raise type(row.code, (ValueError,), {})(row)": "failed: ValueError, at r2.py:",
    "raise type(row.code, (ValueError,), {'__module__': 'sqlalchemy.exc'})(row)": "failed: ValueError, at r2.py:",
    "raise type('Spelled', (ValueError,), {})(row)": "failed: Spelled, at r2.py:",
    "\n    class Old(ValueError): ...\n    raise Old('all are old')": "failed: Old: all are old, at r2.py:",
    "\n    class Stop(BaseException): ...\n    raise Stop(row)": "it ends the program (Stop: at r2.py:",
    "raise type(row.code, (BaseException,), {})(row)": "it ends the program (BaseException: at r2.py:",
    "raise type(row.code, (KeyboardInterrupt,), {})(row)": "it ends the program (KeyboardInterrupt: at r2.py:",
    "raise GeneratorExit(row)": "it ends the program (GeneratorExit: at r2.py:",
    "raise SystemExit(f'the code {row.code} is new')": "it ends the program (SystemExit: the code … is new, at r2.py:",
    "raise BaseExceptionGroup('all are old', [SystemExit(row)])": "(BaseExceptionGroup: all are old…, at r2.py:",
    "from migrations.errors import MigrationError; raise MigrationError(row)": "failed: MigrationError, at r2.py:",
    "\n    from migrations.errors import RevisionFailed\n    class Ill(RevisionFailed):\n"
    "        def __init__(self, row): Exception.__init__(self, row)\n    raise Ill(row)": "failed: Ill, at r2.py:",
    "\n    from migrations.database.raw_statements import RawUseRefused\n    class Raw(RawUseRefused):\n"
    "        def __init__(self, row): Exception.__init__(self, row)\n    raise Raw(row)": "failed: Raw, at r2.py:",
    "import psycopg; raise psycopg.DataError(row)": "failed: DataError, at r2.py:",
    "op.get_bind().execute(sa.text('SELECT :it').bindparams(sa.bindparam('it', row.ssn, sa.DateTime)), [{'it': sa}])": (
        "r2 failed"
    ),
    "op.execute(sa.insert(sa.table('patients', sa.column('on', sa.LargeBinary))).values(on=row.code))": "r2 failed",
    "op.execute('DO $$ BEGIN RAISE unique_violation USING MESSAGE = (SELECT ssn FROM patients); END $$')": "a DO block",
}


HEAD = """from alembic import op
import sqlalchemy as sa
revision = "{}"
down_revision = {!r}

def downgrade(): ...
def upgrade():
    {}
"""
ROWS_OF_ITS_OWN = """
    op.execute("CREATE TABLE patients (ssn text, code text)")
    op.execute("INSERT INTO patients VALUES ('123-' || '45-6789', 'F3' || '2.1')")
"""


def test_what_a_revision_raises_is_told_by_type_and_place_and_in_its_own_words(
    database: ProvisionedDatabase, tmp_path: Path
) -> None:
    (tmp_path / "r1.py").write_text(HEAD.format("r1", None, ROWS_OF_ITS_OWN))
    upgrade(database.owner_dsn, History.load(tmp_path), release_id="r")
    for number, (deed, wanted) in enumerate(RAISES.items(), 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(tmp_path / "r1.py", folder)
        body = f"{READS}; {deed}" if not deed.startswith("\n") else READS + deed
        (folder / "r2.py").write_text(HEAD.format("r2", "r1", body))
        with pytest.raises(RevisionFailed) as caught:
            upgrade(database.owner_dsn, History.load(folder), release_id="r")
        shown = "".join(traceback.format_exception(caught.value))
        assert [value for value in VALUES if value in shown] == [], shown
        assert wanted in str(caught.value)
        if "at r2.py" in wanted:
            is_left_out = "…" in wanted or not re.search(r"\b(old|is not defined|for column 'nothing')", wanted)
            assert ("run the revision with Alembic itself" in str(caught.value)) is is_left_out


@pytest.mark.parametrize("deed", ["raise KeyboardInterrupt(row.code)", "raise asyncio.CancelledError(row.code)"])
def test_an_interruption_is_passed_on_without_a_word(database: ProvisionedDatabase, tmp_path: Path, deed: str) -> None:
    body = f"{ROWS_OF_ITS_OWN}\n    {READS}\n    import asyncio\n    {CAUGHT.strip()}: {deed}"
    (tmp_path / "r1.py").write_text(HEAD.format("r1", None, body))
    with pytest.raises((KeyboardInterrupt, asyncio.CancelledError)) as caught:
        upgrade(database.owner_dsn, History.load(tmp_path), release_id="r")
    shown = "".join(traceback.format_exception(caught.value))
    assert [value for value in VALUES if value in shown] == [], shown
    with psycopg.connect(database.owner_dsn) as session:
        assert session.execute("SELECT to_regclass('patients')").fetchone() == (None,)
