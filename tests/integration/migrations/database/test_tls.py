"""A server that has TLS, which PostgreSQL 18 of the wheel has not: Debian's oldest, where it is installed."""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import make_conninfo

from deployments.local.hosting.processes import Spawner
from deployments.local.postgres.cluster import Cluster, data_root, free_port, remove_data_root
from migrations.checks.security.finding import State
from migrations.checks.security.tls import TlsState, judge_tls, plain_accepted, read_tls_state
from migrations.database.session import reader

WITH_TLS = Path("/usr/lib/postgresql/15/bin")

pytestmark = pytest.mark.skipif(not WITH_TLS.is_dir(), reason="Debian's PostgreSQL 15 is not installed")


@pytest.fixture
def encrypted(tmp_path: Path, spawner: Spawner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("PG_BIN", str(WITH_TLS))
    cluster = Cluster.create(data_root(tmp_path) / "tls", spawner=spawner)
    for name, content in zip(("server.crt", "server.key"), certificate(), strict=True):
        file = cluster.data / name
        file.write_bytes(content)
        file.chmod(0o600)
        owner = cluster.data.stat()
        os.chown(file, owner.st_uid, owner.st_gid)
    cluster.start(free_port(), settings={"archive_mode": "off", "ssl": "on"})
    yield cluster
    cluster.stop("immediate")
    remove_data_root(tmp_path)


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), private


def eventually(condition: Callable[[], bool]) -> None:
    turns = 0
    while not condition():
        turns += 1
        assert turns < 200
        time.sleep(0.02)


def test_a_server_is_told_to_force_tls_when_it_takes_nothing_else(encrypted: Cluster) -> None:
    dsn = make_conninfo(encrypted.superuser_dsn(), sslmode="require")

    def seen() -> TlsState:
        with reader(dsn) as connection:
            here = read_tls_state(connection, {"the owner": dsn})
        return TlsState("ep-1.neon.tech", here.modes, here.session_encrypted, plain_accepted(dsn))

    assert judge_tls(seen()).wrong == ["the server takes connections without TLS"]
    rules = encrypted.data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("host all", "hostssl all"))
    encrypted.scalar("SELECT pg_reload_conf()")
    # The server reads its rules again when it gets to it.
    eventually(lambda: plain_accepted(dsn) is False)
    assert judge_tls(seen()).finding("line").state is State.HOLDS


def test_a_session_without_tls_is_told(encrypted: Cluster) -> None:
    with reader(encrypted.superuser_dsn()) as connection:
        here = read_tls_state(connection, {"the owner": encrypted.superuser_dsn()})
    assert (here.session_encrypted, here.modes) == (False, {"the owner": "disable"})
