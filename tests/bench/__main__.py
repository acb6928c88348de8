"""`make bench`: revisions, seeding and stalls on servers of their own, then all else on a platform, which then goes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deployments.local.supervisor import platform
from flows.cli.console.deploying import deploy_flows

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure the revisions, seeding and stalls; bring a platform up, measure on it, and take it down."""
    apart = [
        subprocess.run([sys.executable, Path(__file__).with_name(name)], check=False).returncode
        for name in ("revisions.py", "seeding.py", "stalls.py")
    ]
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-", ignore_cleanup_errors=True) as folder:
        state = Path(folder)
        platform.up(state, detach=True, pipeline=True)
        try:
            deploy_flows(state)
            # Prefect reads where its server is when it is imported: hence a process of its own.
            environment = {**os.environ, **platform.read_env(state)}
            measured = subprocess.run(
                [sys.executable, "-m", "tests.bench.measure"], cwd=ROOT, env=environment, check=False
            )
            return measured.returncode or int(any(apart))
        finally:
            platform.down(state)


if __name__ == "__main__":
    sys.exit(main())
