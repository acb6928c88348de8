"""A target with v1 in production, the flows that run on it, and the way back to how it was."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from deployments.application import endpoints
from deployments.errors import DeploymentError
from deployments.ledger import Ledger, Release
from deployments.local.postgres.cluster import Cluster
from deployments.local.supervisor.running import RunningPlatform
from deployments.settings import Settings
from flows.cli.console import demo_checks
from tasks import connections
from tasks.steps.dead_runs import WATCHDOG
from tests.faults.generated import flow_process

RELEASE: dict[str, Any] = {"ref": "v2", "watch_seconds": 5, "reset_staging": True}
FLOW_S = 600.0
LEDGER, _KEPT = "ledger", "ledger_of_v1"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([flow_process.__name__])


@dataclass(frozen=True)
class FlowProcess:
    """A flow that runs in a process of its own.

    Attributes:
        process: the process.
        output: what it says.
    """

    process: Any
    output: Path

    def wait(self) -> "EndedFlow":
        """Wait for its end."""
        self.process.join(FLOW_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"the flow did not end within {FLOW_S:.0f} s: {self.output.read_text()}")
        return EndedFlow(self.process.exitcode, self.output.read_text(), time.time())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def wait_until_stopped(self) -> None:
        """Wait until a signal has stopped it."""
        while self.process.exitcode is None and psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.05)
        assert self.process.exitcode is None, self.output.read_text()


@dataclass(frozen=True)
class EndedFlow:
    """A flow that has ended.

    Attributes:
        code: its exit code; minus the signal where one ended it.
        said: what it said.
        ended_at: when that was, as time.time() has it.
    """

    code: int
    said: str
    ended_at: float


@dataclass
class Target:
    """A target with v1 in production, to which each test comes back.

    Attributes:
        platform: the platform that it runs on.
        settings: its settings.
        ledger_cluster: the server of its ledger.
        environment: the variables of a worker over it.
        folder: takes what flows say.
        old: production with v1.
        lsn: where production's history stood then.
        first_build: the deployment that served then.
        heard: how many messages Slack had before the test.
        started: the flows that the test has started.
    """

    platform: RunningPlatform
    settings: Settings
    ledger_cluster: Cluster
    environment: dict[str, str]
    folder: Path
    old: demo_checks.ProductionSnapshot | None = None
    lsn: str = ""
    first_build: str = ""
    heard: int = 0
    started: list[FlowProcess] = field(default_factory=list[FlowProcess])

    def start(self, flow: str, given: dict[str, Any], **fault: Any) -> FlowProcess:
        """Start a flow in a process of its own."""
        output = self.folder / f"{len(self.started)}-{flow}.log"
        for file in (self.struck, self._go):
            file.unlink(missing_ok=True)
        asked = {
            "flow": flow,
            "given": given,
            "state": str(self.platform.status.state),
            "struck": str(self.struck),
            **fault,
        }
        process = _processes.Process(target=flow_process.run, args=(asked, {**os.environ}, str(output)))
        process.start()
        self.started.append(FlowProcess(process, output))
        return self.started[-1]

    def run(self, flow: str, given: dict[str, Any], **fault: Any) -> EndedFlow:
        """Run a flow in a process of its own to its end, or until a fault ends it."""
        return self.start(flow, given, **fault).wait()

    def release_undisturbed(self) -> Release:
        """Release v2, for a test of what comes after it."""
        done = self.run("release", {**RELEASE, "watch_seconds": 5, "rehearse": False})
        assert "release succeeded" in done.said, done.said
        return self.newest()

    @property
    def struck(self) -> Path:
        """The file that takes the time at which a fault came."""
        return self.folder / "struck"

    @property
    def _go(self) -> Path:
        return Path(f"{self.struck}-go")

    def run_into(
        self, flow: str, given: dict[str, Any], act: str, moment: str, fault: Callable[[], AbstractContextManager[None]]
    ) -> EndedFlow:
        """Run a flow that stands still at a moment of an act until a fault is there, and goes on into it.

        Args:
            flow: what runs.
            given: what it is given.
            act: the act.
            moment: the moment.
            fault: makes the fault, and keeps it for as long as it lasts while the flow goes on.
        """
        running = self.start(flow, given, act=act, moment=moment, fault="wait")
        while not self.struck.exists() and running.process.exitcode is None:
            time.sleep(0.02)
        assert running.process.exitcode is None, running.output.read_text()
        with fault():
            self._go.touch()
        return running.wait()

    @property
    def struck_at(self) -> float:
        """When the fault came, as time.time() has it."""
        return float(self.struck.read_text())

    def changes(self) -> int:
        """How many changes the services were asked for so far."""
        return sum(one.method != "GET" for name in ("neon", "vercel") for one in self.platform.requests(name))

    def told(self) -> list[str]:
        """What Slack was sent, oldest first."""
        return [str(message["text"]) for message in self.platform.slack_messages()]

    def ledger(self) -> AbstractContextManager[Ledger]:
        """The ledger, open."""
        return connections.ledger(self.settings)

    def newest(self) -> Release:
        """The newest row of the ledger that is a release's or a rollback's."""
        with self.ledger() as ledger:
            rows = ledger.releases(target=self.settings.target, limit=10)
            return next(one for one in rows if not one.requested_by.startswith(WATCHDOG))

    @contextmanager
    def production(self) -> Generator[psycopg.Connection[tuple[Any, ...]]]:
        """Production's database, as its owner, in autocommit."""
        dsn = connections.owner_dsn(self.settings, connections.production_branch(self.settings))
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection

    def remember(self) -> None:
        """Remember how production stands now: each test comes back to that."""
        serving = connections.vercel(self.settings).production_deployment()
        assert serving is not None
        self.first_build, self.old = serving.id, demo_checks.read_production()
        self._read_lsn()
        self._delete_branches()
        self.ledger_cluster.scalar(f"CREATE DATABASE {_KEPT} TEMPLATE {LEDGER}")

    def _read_lsn(self) -> None:
        """Remember where production's history stands: after a restore it begins anew."""
        with self.production() as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
            assert row is not None
            self.lsn = str(row[0])

    def come_back(self) -> None:
        """Bring production and staging back to v1, and take away whatever a test has left, however it went."""
        for flow in self.started:
            if flow.process.exitcode is None:
                flow.process.kill()
                flow.process.join()
        self.started.clear()
        self.platform.clear_faults()
        # A release of an earlier test that succeeded would be one that somebody has taken out of service by hand.
        self.ledger_cluster.scalar(f"DROP DATABASE {LEDGER} WITH (FORCE)")
        self.ledger_cluster.scalar(f"CREATE DATABASE {LEDGER} TEMPLATE {_KEPT}")
        # A copied sequence gives some numbers without a word to the WAL: after a crash it would give them anew.
        self.ledger_cluster.scalar("CHECKPOINT")
        self._come_back_in_vercel()
        self._come_back_in_neon()
        # Its first requests find that their connections are gone.
        ends = time.monotonic() + 30
        url = connections.production_url(self.settings)
        while any(not probe.ok for probe in endpoints.probe_reads(url, bypass=None, commit_sha=None)):
            assert time.monotonic() < ends, "v1 does not serve again"

    def _come_back_in_vercel(self) -> None:
        client = connections.vercel(self.settings, in_release=False)
        client.rollback(self.first_build)
        client.set_config(self.settings.vercel_config_id, "maintenance", value=False)
        token = self.settings.vercel_token.get_secret_value()
        with httpx.Client(
            base_url=str(self.settings.vercel_api_url), headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as vercel:
            team = {"teamId": self.settings.vercel_team_id}
            for build in vercel.get("/v6/deployments", params=team).raise_for_status().json()["deployments"]:
                if build["uid"] != self.first_build:
                    vercel.delete(f"/v13/deployments/{build['uid']}", params=team).raise_for_status()

    def _come_back_in_neon(self) -> None:
        client = connections.neon(self.settings, in_release=False)
        production = connections.production_branch(self.settings)
        client.set_protected(production.id, protected=False)
        client.restore(
            production.id,
            source_branch_id=production.id,
            source_lsn=self.lsn,
            preserve_under_name="before-rollback-x",
        )
        client.set_protected(production.id, protected=True)
        self._read_lsn()
        client.restore(connections.staging_branch(self.settings).id, source_branch_id=production.id)
        self._delete_branches()

    def _delete_branches(self) -> None:
        client = connections.neon(self.settings, in_release=False)
        stay = {self.settings.neon_production_branch, self.settings.neon_staging_branch}
        # What hangs under another goes first.
        for _ in range(3):
            for kept in client.branches():
                if kept.name not in stay:
                    with contextlib.suppress(DeploymentError):
                        client.delete_branch(kept.id)
        assert {branch.name for branch in client.branches()} == stay
