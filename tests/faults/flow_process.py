"""Runs a flow in a process of its own, which is killed or stopped at one moment of one act.

    python -m tests.faults.flow_process '{"flow": "release", "given": {...}, "act": "promote", "moment": "effect"}'

The moments: `before`, the act is written and nothing was done; `effect`, it was done and that is not written yet;
`after`, that is written too. Without Prefect: its tasks are called as the functions that they are.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from prefect import Task

from deployments.ledger import Ledger
from flows.recover import recover
from flows.release import release
from flows.rollback import rollback
from tasks.values import ReleaseRequest

FLOWS: dict[str, Any] = {"release": release, "rollback": rollback, "recover": recover}
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def called(task: Any, *given: Any, **named: Any) -> Any:
    """Call a task as the function that it is."""
    return task.fn(*given, **named)


def strike(act: str, moment: str, fault: str) -> None:
    """Let a signal come at a moment of the first act of a name."""
    methods: dict[str, tuple[str, bool]] = {
        "before": ("begin_step", False),
        "effect": ("finish_step", True),
        "after": ("finish_step", False),
    }
    name, first = methods[moment]
    original: Callable[..., Any] = getattr(Ledger, name)
    struck: list[None] = []

    def signalled(ledger: Ledger, release_id: str, step: str, *rest: Any, **named: Any) -> Any:
        is_it = step == act and not struck
        if is_it:
            struck.append(None)
        if is_it and first:
            os.kill(os.getpid(), SIGNALS[fault])
        done = original(ledger, release_id, step, *rest, **named)
        if is_it and not first:
            os.kill(os.getpid(), SIGNALS[fault])
        return done

    setattr(Ledger, name, signalled)


def main() -> None:
    """Run what the argument asks for; its outcome is printed."""
    asked = json.loads(sys.argv[1])
    every_task: Any = Task
    every_task.__call__ = called
    if asked.get("act"):
        strike(asked["act"], asked["moment"], asked.get("fault", "kill"))
    given = asked["given"]
    if asked["flow"] == "release":
        given = {"request": ReleaseRequest.model_validate(given)}
    sys.stdout.write(f"{FLOWS[asked['flow']].fn(**given)}\n")


if __name__ == "__main__":
    main()
