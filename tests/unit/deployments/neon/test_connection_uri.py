import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deployments.connection_uri import encrypted, foreign_host

OURS = "ep-one.neon.test"


@pytest.mark.parametrize(
    ("uri", "elsewhere"),
    [
        ("postgresql://u:p@evil/db", "evil"),
        (f"postgresql://u:p@{OURS}/db?host=evil", "evil"),
        (f"postgresql://u:p@{OURS}/db?host={OURS}&host=evil", "evil"),
        (f"postgresql://u:p@{OURS}/db?hostaddr=10.0.0.1", "10.0.0.1"),
        (f"postgresql://u:p@{OURS}/db?host={OURS}&hostaddr=10.0.0.1", "10.0.0.1"),
        (f"postgresql://u:p@{OURS},evil/db", "evil"),
        (f"postgresql://u:p@evil,{OURS}/db", "evil"),
        (f"postgresql://u:p@{OURS}:5432,evil:5432/db", "evil"),
        (f"postgresql://u:p@{OURS}/db?service=evil", "service evil"),
        (f"postgresql://u:p@{OURS}%2Cevil/db", "evil"),
        (f"postgresql://u:p@{OURS}#@evil/db", f"{OURS}#@evil"),
        (f"postgresql://u:p@{OURS}.evil/db", f"{OURS}.evil"),
        (f"postgresql://u:p@{OURS}/db?host=", "no host by name"),
        ("postgresql:///db", "no host by name"),
        ("postgresql:///db?host=/run/db", "/run/db"),
        (f"host={OURS} host=evil", "evil"),
        (f"postgresql://u:p@{OURS}/db?no=such", "an address that cannot be read"),
        (f"postgresql://u:p@{OURS}/db?host", "an address that cannot be read"),
        (f"postgresql://u:p%zz@{OURS}/db", "an address that cannot be read"),
    ],
)
def test_an_address_that_may_lead_elsewhere_is_foreign(uri: str, elsewhere: str) -> None:
    assert foreign_host(uri, [OURS]) == elsewhere


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql://u:p@{OURS}/db",
        f"postgres://u:p@{OURS}:5432/db?sslmode=require&options=-c%20search_path%3Dapp",
        "postgresql://u:p%40evil@ep-one-pooler.neon.test/db",
        f"postgresql://u:p@{OURS},{OURS}:5433/db",
        f"postgresql://u@/db?host={OURS}",
        f"host={OURS} dbname=db",
    ],
)
def test_an_address_that_leads_to_our_host_and_its_pooler_alone_is_ours(uri: str) -> None:
    assert foreign_host(uri, [OURS]) is None


@pytest.mark.parametrize(("uri", "host"), [("postgresql://[::1]:6000/db", "[::1]:6000"), ("host=a port=1", "a:1")])
def test_a_host_may_be_known_with_its_port(uri: str, host: str) -> None:
    assert foreign_host(uri, [host]) is None
    assert foreign_host(uri, [f"{host}0"]) is not None


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:p@127.0.0.1/db?host=evil",
        "postgresql://u:p@localhost,evil/db",
        "postgresql://u:p@localhost/db?hostaddr=10.0.0.1",
        f"postgresql://u:p@{OURS}/db?sslmode=disable",
        f"postgresql://u:p@{OURS}/db?sslmode=require&sslmode=prefer",
    ],
)
def test_the_way_to_another_machine_is_encrypted(uri: str) -> None:
    assert conninfo_to_dict(encrypted(uri))["sslmode"] == "require"


@pytest.mark.parametrize("uri", ["postgresql://u:p@127.0.0.1:1/db", "postgresql://u:p@localhost,[::1]/db"])
def test_the_way_to_this_machine_is_left_as_it_is(uri: str) -> None:
    assert encrypted(uri) == uri


def test_what_other_drivers_read_stays_and_the_way_is_encrypted_all_the_same() -> None:
    prisma = "pgbouncer=true&connection_limit=5"
    assert encrypted(f"postgresql://u:p@127.0.0.1/db?{prisma}") == f"postgresql://u:p@127.0.0.1/db?{prisma}"
    assert encrypted(f"postgresql://u:p@{OURS}/db?{prisma}").endswith(f"/db?{prisma}&sslmode=require")


def test_what_follows_the_question_mark_means_the_same_to_libpq() -> None:
    uri = f"postgresql://u:p@{OURS}/db?options=-c%20search_path%3Da%2Bb&application_name=a%20b"
    wanted = {**conninfo_to_dict(uri), "sslmode": "require"}
    assert conninfo_to_dict(encrypted(uri)) == wanted
    with pytest.raises(psycopg.ProgrammingError):
        conninfo_to_dict(f"{uri}&no=such")
