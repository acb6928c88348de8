"""What no output may hold, in whatever form it is written."""

import base64
import io
import json
import logging
import re
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from deployments.redaction.redacted_output import guard_logging, redacted_exception, streams_redacted
from deployments.redaction.redactor import Redactor, learn_address, learn_variables, redacted

SECRET = "S3cret/Ho'rse+€ \\stable"


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS: list[Callable[[str], str]] = [
    str,
    quote,
    quote_plus,
    lambda s: quote(s, safe=""),
    lambda s: re.sub("%..", lambda found: found[0].lower(), quote(s, safe="")),
    lambda s: quote(s).replace("%", "%%"),
    json.dumps,
    lambda s: json.dumps(s, ensure_ascii=False),
    repr,
    lambda s: repr(repr(s)),
    lambda s: s.replace("'", "''"),
    in_base64,
    lambda s: in_base64(f"user:{s}"),
    lambda s: in_base64(f"an user:{s} a"),
    lambda s: in_base64(f"x{s}yz"),
    lambda s: s.encode().hex(),
    lambda s: "\n".join(textwrap.wrap(s, 7)),
    lambda s: "│ " + " │\n│ ".join(s[at : at + 6] for at in range(0, len(s), 6)) + " │",
]


def pieces(text: str) -> list[str]:
    return [text[at : at + 12] for at in range(len(text) - 11)]


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_masked_in_every_form_that_it_is_written_in(form: Callable[[str], str]) -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    written = form(SECRET)
    told = redactor.redacted(f"it says {written}, and goes on")
    assert "***" in told
    assert "goes on" in told
    assert [one for one in pieces(written) if one in told] == []


def test_a_secret_read_from_a_file_is_masked_without_the_newline_that_the_file_ends_with() -> None:
    redactor = Redactor()
    redactor.learn("tokenOfAFile\n")
    assert redactor.redacted("b'Bearer tokenOfAFile' is no header") == "b'Bearer ***' is no header"


@pytest.mark.parametrize("length", [4, 9, 15])
def test_a_secret_that_a_column_has_cut_off_is_masked(length: int) -> None:
    redactor = Redactor()
    redactor.learn("tokenOfATable123", "https://vault.example.com/a/b")
    assert redactor.redacted(f"role {'tokenOfATable123'[:length]}…  41 of https://…") == "role ***…  41 of https://…"


def test_an_address_that_a_column_has_cut_off_is_masked_by_its_form() -> None:
    said = redacted("postgresql://owner:Zeb4raFin… beside http://127.0.0.1:8080/a/path… and http://127.0.0.1:80…")
    assert said == "postgresql://***… beside http://127.0.0.1:8080/a/path… and http://127.0.0.1:80…"


@pytest.mark.parametrize(
    "argument",
    [
        "postgresql%3A%2F%2Fowner%3AZeb4raFinch%40host%2Fdb",
        "postgresql+psycopg%3a%2f%2fowner%3aZeb4raFinch%40host%2Fdb",
        "host=127.0.0.1 pasword=Zeb4raFinch",
        "host=127.0.0.1 passwort=Zeb4raFinch",
        "Zeb4raFinch@127.0.0.1:5432",
        "postgresql://Zeb4raFinch:@127.0.0.1/db",
    ],
)
def test_an_address_that_is_written_in_another_way_is_learned(argument: str) -> None:
    learn_address(argument)
    assert "Zeb4raFinch" not in redacted(f"revision {argument} is not in the history; {argument.replace('//', '/')}")


def test_a_percent_encoded_address_is_masked_by_its_form() -> None:
    said = redacted("at postgresql%3A%2F%2Fowner%3AUnkn0wnFinch%40host%2Fdb now")
    assert said == "at postgresql%3A%2F%2F***%40host%2Fdb now"


def test_a_short_secret_is_masked_as_a_word_and_the_shortest_ones_by_their_form_alone() -> None:
    redactor = Redactor()
    redactor.learn("able", "a")
    assert redactor.redacted("a table is able") == "a table is ***"
    assert redactor.redacted("postgresql://owner:a@host/db") == "postgresql://***@host/db"


@pytest.mark.parametrize("word", ["postgres", "main", "release", "Password", "production", "localhost"])
def test_a_password_that_is_a_word_of_our_messages_is_masked_where_an_address_has_it_alone(word: str) -> None:
    said = f"release of main to production: {word} at postgresql://localhost/postgres wants a password"
    learn_address(f"postgresql://owner:{word}@127.0.0.1/db")
    learn_variables({"POSTGRES_PASSWORD": word})
    assert redacted(said) == said
    assert redacted(f"postgresql://owner:{word}@127.0.0.1/db") == "postgresql://***@127.0.0.1/db"


def test_a_secret_of_small_letters_is_no_part_of_another_word() -> None:
    learn_variables({"DB_PASS": "transaction"})
    assert redacted("transactions: transaction is it") == "transactions: *** is it"


def test_a_variable_that_bounds_or_names_a_secret_holds_none() -> None:
    learn_variables(
        {"MAX_TOKENS": "4096", "SECRET_NAME": "our-vault", "AUTH_TOKEN_TTL": "3600", "PWD": "/srv/pilotage"}
    )
    said = "4096 rows in 3600 s, in our-vault and /srv/pilotage"
    assert redacted(said) == said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at postgresql://owner:pw@host/db now", "at postgresql://***@host/db now"),
        ("at postgresql://owner:p@w/o#r?d@host/db", "at postgresql://***@host/db"),
        ("https://u:S@git.host/x.git", "https://***@git.host/x.git"),
        ("https://ghost@git.host/x.git?token=abc&a=b", "https://***@git.host/x.git?token=***&a=b"),
        (
            "postgresql:///db?host=h&password=abc&sslmode=require",
            "postgresql:///db?host=h&password=***&sslmode=require",
        ),
        ("host=h password='a b' dbname=d", "host=h password=*** dbname=d"),
        ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
        ("ALTER ROLE app PASSWORD 'it''s' LOGIN", "ALTER ROLE app PASSWORD '***' LOGIN"),
        ("ALTER ROLE app PASSWORD 'cut o", "ALTER ROLE app PASSWORD '***'"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: ***"),
        ("sent Bearer abc123def456", "sent Bearer ***"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/***"),
        ('{"password": "abc", "host": "h"}', '{"password": "***", "host": "h"}'),
        ("{'password': 'a\\'bc', 'host': 'h'}", "{'password': '***', 'host': 'h'}"),
        ('"api_key" : "abc"', '"api_key" : "***"'),
        ("export DB_PASS=abc123", "export DB_PASS=***"),
        ("ALTER ROLE app PASSWORD E'a\\'b' LOGIN", "ALTER ROLE app PASSWORD '***' LOGIN"),
        ("Key (ssn)=(123-45) already exists.", "Key (ssn)=(***) already exists."),
        ("Failing row contains (1, a (b), 2).\nCONTEXT:  here", "Failing row contains (***).\nCONTEXT:  here"),
        ('invalid input syntax for type integer: "12 a"', 'invalid input syntax for type integer: "***"'),
        ('COPY people, line 3, column ssn: "123"', "COPY people, line 3, column ssn: ***"),
        ("[SQL: INSERT]\n[parameters: ('a', 'b')]", "[SQL: INSERT]\n[parameters: ***]"),
    ],
)
def test_what_looks_like_a_secret_or_a_row_is_masked_though_it_is_not_known(text: str, told: str) -> None:
    assert Redactor().redacted(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "VERCEL_TOKEN: must not hold blanks",
        "set NEON_API_KEY=<placeholder>",
        "http://127.0.0.1:4200/api",
        "see https://example.com/a, or ask a@example.com",
        "UPDATE sessions SET token = $1 WHERE id = $2",
        "ALTER TABLE users ADD COLUMN password text NOT NULL",
        "the password is wrong, the token has expired",
        "password authentication failed for user owner",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().redacted(text) == text


MALFORMED = [
    "postgresql://owner:{0}/Horse@127.0.0.1/db",
    "postgresql://owner:Cana@{0}@127.0.0.1/db",
    "postgresql://owner:Cana#{0}@127.0.0.1/db",
    "postgresql://owner:Cana%{0}@127.0.0.1/db",
    "postgresql://owner:Cana {0}@127.0.0.1/db",
    "postgresql://owner:{0}\n@127.0.0.1/db",
    "postgresql://owner:{0}",
    "postgresql://owner:{0}/db",
    "host=h password={0} hor se dbname=d",
    "host=h password='{0} dbname=d",
    "postgresql:///db?password={0}",
    "postgresql:///db?pass%77ord={0}",
    "postgresql:///db?options=-c%20app.secret%3D{0}",
    "postgresql://owner@127.0.0.1:{0}/db",
    "postgresql://owner@127.0.0.1:5432:{0}/db",
    "postgresql://127.0.0.1/db@owner:{0}",
    "host=h password = Cana {0}",
    "host=h password='Cana {0}",
    "host=h password=Cana {0} port = 1",
    '{{"host": "h", "password": "{0}"}}',
    "password: {0}",
    "https://x:{0}@git/x.git",
]


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_address_tells_its_secret_so_that_it_is_masked_wherever_it_is_worded(form: str) -> None:
    learn_address(form.format("Zeb4raFinch"))
    assert "Zeb4raFinch" not in redacted("it could not read >Zeb4raFinch<")


def test_variables_that_name_a_secret_and_addresses_in_others_are_known(tmp_path: Path) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:me:OfAFileOfLibpq\n")
    learn_variables(
        {
            "ENCRYPTION_KEYS": "k1:c2VjcmV0c2VjcmV0c2VjcmV0",
            "PGPASSWORD": "OfTheEnvironment",
            "SOME_URL": "redis://:OfRedis99@h",
            "PGPASSFILE": str(passfile),
            "HOME": "/home/somebody",
        }
    )
    told = redacted("c2VjcmV0c2VjcmV0c2VjcmV0 OfTheEnvironment OfRedis99 OfAFileOfLibpq /home/somebody")
    assert told == "*** *** *** *** /home/somebody"


def test_what_is_written_in_pieces_is_masked_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_variables({"A_TOKEN": "SplitOverWrites"})
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with streams_redacted():
        for part in ("it is Split", "Over", "Writes, yes"):
            sys.stdout.write(part)
        sys.stderr.buffer.write(b"SplitOverWrites\n")
        sys.stderr.buffer.flush()
    assert (out.getvalue(), err.getvalue()) == ("it is ***, yes", "***\n")
    assert sys.stdout is out


def test_records_are_masked_in_message_arguments_and_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    learn_variables({"A_TOKEN": "OfARecord"})
    make = logging.getLogRecordFactory()
    try:
        guard_logging()
        try:
            raise ValueError("OfARecord in a cause") from KeyError("OfARecord")
        except ValueError:
            logging.getLogger("anybody").exception("with %s", {"a": "OfARecord"})
    finally:
        logging.setLogRecordFactory(make)
    assert "OfARecord" not in caplog.text
    assert "in a cause" in caplog.text


class OfItsOwnWords(Exception):
    def __str__(self) -> str:
        return "it was InAnException"


def raised() -> BaseException:
    try:
        try:
            raise OfItsOwnWords
        except OfItsOwnWords as error:
            error.add_note("InAnException")
            raise ExceptionGroup("several", [ValueError("InAnException", ("InAnException",))]) from error
    except ExceptionGroup as group:
        return group


def test_an_exception_is_masked_with_all_that_it_was_raised_from() -> None:
    learn_variables({"A_TOKEN": "InAnException"})
    safe = redacted_exception(raised())
    told = [line for line in traceback.format_exception(safe) if " in raised" not in line]
    assert [line for line in told if "InAnException" in line] == []
    assert "OfItsOwnWords: it was ***" in "".join(told)
    assert isinstance(safe, ExceptionGroup)
