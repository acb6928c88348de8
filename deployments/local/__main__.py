"""The supervisor's process: `python -m deployments.local --state DIR [--pipeline]`, in the foreground."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> int:
    """Run a platform until SIGTERM or SIGINT, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.local", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the platform's state folder")
    parser.add_argument("--pipeline", action="store_true", help="with Prefect's server and a worker")
    parser.add_argument("--detach-fd", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    descriptor: int | None = arguments.detach_fd
    if descriptor is not None:
        # Before anything is imported that starts a thread.
        if os.fork() > 0:
            os._exit(0)
        os.setsid()
    return _run(arguments.state, pipeline=arguments.pipeline, report=_reporter(descriptor))


def _run(state: Path, *, pipeline: bool, report: Callable[[str, str], None]) -> int:
    from deployments.local.errors import LocalPlatformError
    from deployments.local.hosting.state import StateFolder
    from deployments.local.supervisor.supervisor import supervise

    try:
        supervise(
            StateFolder(state),
            pipeline=pipeline,
            tell=lambda line: report("progress", line),
            up=lambda: report("up", ""),
        )
    except LocalPlatformError as error:
        report("failed", str(error))
        return 1
    except KeyboardInterrupt as interrupt:
        report("failed", f"it was told to stop by {interrupt} before it was up")
        return 1
    return 0


def _reporter(descriptor: int | None) -> Callable[[str, str], None]:
    """Return what tells a person on the terminal, or whoever waits at the other end of a pipe."""
    if descriptor is None:
        return lambda kind, text: print(text, file=sys.stderr if kind == "failed" else sys.stdout) if text else None
    pipe = descriptor

    def report(kind: str, text: str) -> None:
        nonlocal pipe
        if pipe < 0:
            return
        try:
            os.write(pipe, (json.dumps({kind: text}) + "\n").encode())
        except BrokenPipeError:
            kind = "up"
        if kind != "progress":
            os.close(pipe)
            pipe = -1

    return report


if __name__ == "__main__":
    sys.exit(main())
