"""Smoke tests: the released application does its work in staging."""

from deployments.application import endpoints
from deployments.git.repository import Commit
from deployments.vercel.client import Deployment
from tasks import connections
from tasks.acts import Act
from tasks.errors import StagingFailed
from tasks.record import recorded_step
from tasks.step import step


@step("smoke tests", timeout_s=300)
def smoke_test(release_id: str, deployment: Deployment, commit: Commit) -> None:
    """Read and write through the staging deployment as a user would.

    Raises:
        StagingFailed: a probe was not answered as it must be.
    """
    settings = connections.settings()
    with recorded_step(release_id, Act.SMOKE_TESTS, deployment=deployment.id) as entry:
        probes = endpoints.smoke(deployment.url, bypass=settings.vercel_automation_bypass_secret, commit_sha=commit.sha)
        failed = [f"{probe.method} {probe.path}: {probe.detail}" for probe in probes if not probe.ok]
        if failed:
            raise StagingFailed(f"smoke tests of {deployment.url}: {'; '.join(failed)}")
        entry.result({"probes": len(probes)})
