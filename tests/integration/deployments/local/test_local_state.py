"""The state folder: one holder at a time, whatever its files say, and settings that a shell and a reader see alike."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.local.errors import LocalPlatformError, PlatformRunningError
from deployments.local.hosting.state import PlatformStatus, StateFolder
from deployments.local.supervisor.platform import status

HOLD = """
import sys
from pathlib import Path
from deployments.local.hosting.state import StateFolder
folder = StateFolder(Path(sys.argv[1]))
folder.make()
lock = folder.take()
print("held", flush=True)
sys.stdin.read()
"""


def _described(state: Path, pid: int) -> PlatformStatus:
    url = "http://127.0.0.1:1"
    return PlatformStatus(
        pid=pid,
        state=state,
        started_at=datetime.now(UTC),
        neon_url=url,
        vercel_url=url,
        slack_url=url,
        production_url=url,
        control_url=url,
    )


def test_the_lock_is_the_truth_and_not_the_files(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert folder.holder() == holder.pid
        assert status(tmp_path) is None
        described = _described(tmp_path, holder.pid)
        folder.describe(described, {})
        assert status(tmp_path) == described
        with pytest.raises(PlatformRunningError, match=rf"process {holder.pid}"):
            folder.take()
        holder.kill()
        holder.wait()
        assert folder.holder() is None
        assert status(tmp_path) is None
        os.close(folder.take())


def test_a_process_that_only_looks_does_not_keep_another_from_the_lock(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    assert folder.holder() is None
    lock = folder.take()
    assert folder.holder() == os.getpid()
    os.close(lock)
    assert folder.holder() is None


def test_settings_read_the_same_in_a_shell_and_by_a_reader(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "somebody's own")
    folder.make()
    environment = {
        "PLAIN": "x",
        "URL": "http://127.0.0.1:1/a?b=c&d=$e#f",
        "SPACED": " a  b ",
        "PATH_OF": str(folder.path),
    }
    folder.describe(_described(folder.path, 1), environment)
    assert folder.read_environment() == environment
    script = f'set -a; . "{folder.environment}"; printf "%s\\n" "$PLAIN" "$URL" "$SPACED" "$PATH_OF"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.splitlines() == list(environment.values())
    assert folder.environment.stat().st_mode & 0o777 == 0o600


def test_a_value_that_no_quoting_keeps_is_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    with pytest.raises(LocalPlatformError, match="plain letters"):
        folder.describe(_described(tmp_path, 1), {"BOTH": "it's a $"})
    assert not folder.environment.exists()


def test_settings_of_the_pipeline_are_told_from_what_the_platform_wrote(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.environment.write_text("NEON_API_KEY='x'\nPILOTAGE_STOP_S=5\nPILOTAGE_HOME=/elsewhere\n")
    assert folder.read_policy() == {"PILOTAGE_STOP_S": "5"}
