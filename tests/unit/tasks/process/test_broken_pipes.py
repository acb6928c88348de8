"""A flow run whose worker is gone: its output breaks, and it goes on to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import logging, os, sys
from pathlib import Path
from prefect.logging.configuration import setup_logging
from tasks.process import broken_pipes

setup_logging()
if sys.argv[2] == "guarded":
    broken_pipes.survive_broken_pipes()
    broken_pipes.survive_broken_pipes()
sys.stdin.read()
for logger in ("prefect.flow_runs", "prefect.task_runs", "prefect", "tasks", ""):
    for _ in range(3):
        logging.getLogger(logger).error("a line that nobody reads")
print("neither does anybody read this" * 5000, flush=True)
print("nor this", file=sys.stderr, flush=True)
os.write(1, b"nor this")
Path(sys.argv[1]).write_text("went on")
"""


def run(tmp_path: Path, how: str) -> tuple[int, bool]:
    """Run lines of Prefect's log into pipes whose reader has gone; the exit code, and whether the end was reached."""
    reached = tmp_path / "reached"
    read, write = os.pipe()
    environment = {**os.environ, "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore", "PREFECT_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(reached), how],
        stdin=subprocess.PIPE,
        stdout=write,
        stderr=write,
        env=environment,
    )
    os.close(write)
    os.close(read)
    process.communicate(timeout=300)
    return process.returncode, reached.exists()


@pytest.mark.parametrize(("how", "ended"), [("guarded", (0, True)), ("as it is", (1, False))])
def test_a_run_whose_output_nobody_reads_goes_on_to_its_end(tmp_path: Path, how: str, ended: tuple[int, bool]) -> None:
    assert run(tmp_path, how) == ended
