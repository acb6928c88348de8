"""What may become of the databases: sessions ended, servers stopped and started again, the ledger locked."""

import contextlib
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg

from deployments.local.postgres.cluster import Cluster
from tasks import connections
from tests.faults.generated.target import LEDGER, Target

# How long a server is away, or a lock is held: longer than a lease of five seconds, and shorter than is waited for.
BRIEFLY_S, LONGER_THAN_A_LEASE_S = 2.0, 9.0
# Longer than a step is tried again in a flow of the suite, and shorter than production is waited for.
LONGER_THAN_THE_TRIES_S = 15.0
WATCHED_S = 5.0


@contextmanager
def session_ended(target: Target) -> Generator[None]:
    """End the next session with which production is read or changed, in whatever it does, while the block runs."""
    yield
    ends = time.monotonic() + WATCHED_S
    with target.production() as connection:
        while time.monotonic() < ends:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'pilotage%' AND pid <> pg_backend_pid()"
            ).fetchall()
            if found:
                return
            time.sleep(0.002)
    raise AssertionError(f"no session came within {WATCHED_S:.0f} s")


@contextmanager
def production_restarted(target: Target, after_s: float = BRIEFLY_S) -> Generator[None]:
    """Stop production's server as a crash would, and start it again a moment later."""
    branch = connections.production_branch(target.settings)
    client = connections.neon(target.settings, in_release=False)
    (endpoint,) = client.endpoints(branch.id)
    port = urlsplit(connections.owner_dsn(target.settings, branch)).port
    sockets: list[Any] = psutil.net_connections("tcp")
    for pid in {one.pid for one in sockets if one.status == psutil.CONN_LISTEN and one.laddr.port == port}:
        os.kill(pid, signal.SIGQUIT)
    yield
    time.sleep(after_s)
    url = f"{str(target.settings.neon_api_url).rstrip('/')}/projects/{target.settings.neon_project_id}"
    key = {"Authorization": f"Bearer {target.settings.neon_api_key.get_secret_value()}"}
    ends = time.monotonic() + 60
    while httpx.post(f"{url}/endpoints/{endpoint.id}/start", headers=key, trust_env=False).status_code == 423:
        assert time.monotonic() < ends, "Neon is at work, and production's server is not started"
        time.sleep(0.1)


@contextmanager
def ledger_locked(cluster: Cluster, seconds: float) -> Generator[None]:
    """Hold the ledger's tables, so that nobody reads or writes them."""
    with psycopg.connect(cluster.superuser_dsn(LEDGER)) as holder:
        holder.execute("LOCK TABLE releases, steps IN ACCESS EXCLUSIVE MODE")
        yield
        time.sleep(seconds)
        holder.rollback()


@contextmanager
def ledger_gone(cluster: Cluster, seconds: float) -> Generator[None]:
    """Stop the ledger's server as a crash would, and start it again."""
    port = cluster.port
    cluster.stop("immediate")
    try:
        yield
        time.sleep(seconds)
    finally:
        with contextlib.suppress(OSError):
            cluster.start(port, settings={"archive_mode": "off"})


# Source: what the server raises where a file cannot grow, SQLSTATE 53100; a trigger raises the same at the same place.
_FULL = """
CREATE FUNCTION no_space_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
"""


@contextmanager
def ledger_full(cluster: Cluster, seconds: float) -> Generator[None]:
    """Refuse every row that the ledger is to take, as a server does whose disk is full."""
    with psycopg.connect(cluster.superuser_dsn(LEDGER), autocommit=True) as session:
        session.execute(_FULL.encode())
        for table in ("releases", "steps", "messages"):
            session.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no_space_left()".encode()
            )
        yield
        time.sleep(seconds)
        session.execute("DROP FUNCTION no_space_left() CASCADE")


@contextmanager
def ledger_read_only(cluster: Cluster, seconds: float) -> Generator[None]:
    """Let the ledger be read and not written, as a standby that took over would."""
    with psycopg.connect(cluster.superuser_dsn("postgres"), autocommit=True) as session:
        session.execute(f"ALTER DATABASE {LEDGER} SET default_transaction_read_only = on".encode())
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (LEDGER,))
        yield
        time.sleep(seconds)
        session.execute(f"ALTER DATABASE {LEDGER} RESET default_transaction_read_only".encode())
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (LEDGER,))
