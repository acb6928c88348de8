"""Runs a flow in a process of its own, in which something goes wrong at one moment of one act.

The moments: `before`, the act is written and nothing was done; `checked`, a request of it has passed its check and is
not sent yet; `effect`, it was done and that is not written yet; `after`, that is written too; `start`, before the first
act. Without Prefect: its tasks are called as the functions that they are, and tried again as it would.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefect import Task

from deployments import service
from deployments.ledger import Ledger
from deployments.local.hosting.faults import Fault
from deployments.local.supervisor.running import SERVICES, RunningPlatform
from deployments.neon.client import NeonClient
from deployments.vercel.client import VercelClient
from flows import rollback_choice
from flows.recover import recover
from flows.release import release
from flows.rollback import rollback
from flows.watchdog import watchdog
from tasks.errors import is_transient
from tasks.fencing import ActFence
from tasks.steps import validation
from tasks.values import ReleaseRequest

FLOWS: dict[str, Any] = {"release": release, "rollback": rollback, "recover": recover, "watchdog": watchdog}
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
# Of the pauses in which a task waits; so a server that is away for two seconds is one that is away for six.
SHORTER = 3
# What is waited for, in seconds: long enough for the local platform, and short enough for hundreds of faults.
DEADLINE_S, ANSWER_S, WATCH_S, PRODUCTION_S = 8.0, 5.0, 2.0, 20.0


def called(task: Any, *given: Any, **named: Any) -> Any:
    """Call a task as the function that it is, and again as often as Prefect would."""
    pauses = iter(task.retry_delay_seconds or ())
    while True:
        try:
            return task.fn(*given, **named)
        except Exception as error:
            pause = next(pauses, None)
            if pause is None or not is_transient(error):
                raise
            time.sleep(pause / SHORTER)


def shorten_waits() -> None:
    """Give up sooner than a release would that nobody waits for."""
    for made, name in ((NeonClient, "deadline_s"), (VercelClient, "deadline_s"), (service.Service, "patience_s")):
        defaults: Any = made.__init__.__kwdefaults__
        defaults[name] = DEADLINE_S
    service.ANSWER_S = ANSWER_S
    choice: Any = rollback_choice
    choice.PRODUCTION_PATIENCE_S = PRODUCTION_S
    opened: Callable[..., None] = validation.WatchWindow.__init__

    def opened_briefly(window: Any, seconds: float, *rest: Any, **named: Any) -> None:
        opened(window, min(seconds, WATCH_S), *rest, **named)

    window_class: Any = validation.WatchWindow
    window_class.__init__ = opened_briefly


def at_each_act(told: Callable[[str, str], None]) -> None:
    """Have every moment of every act told, as the ledger hears of it."""
    begin, finish, check = Ledger.begin_step, Ledger.finish_step, ActFence.check
    open_acts: list[str] = []

    def begun(ledger: Ledger, release_id: str, step: str, *rest: Any, **named: Any) -> Any:
        done = begin(ledger, release_id, step, *rest, **named)
        open_acts.append(step)
        told(step, "before")
        return done

    def checked(fence: ActFence, change: str) -> None:
        check(fence, change)
        told(open_acts[-1], "checked")

    def finished(ledger: Ledger, release_id: str, step: str, *rest: Any, **named: Any) -> Any:
        told(step, "effect")
        if step in open_acts:
            open_acts.remove(step)
        done = finish(ledger, release_id, step, *rest, **named)
        told(step, "after")
        return done

    every_ledger: Any = Ledger
    every_ledger.begin_step, every_ledger.finish_step = begun, finished
    every_fence: Any = ActFence
    every_fence.check = checked


def wait_for(file: Path) -> None:
    """Wait until whoever started this process has done what it wants to be met with."""
    ends = time.monotonic() + DEADLINE_S * 4
    while not file.exists() and time.monotonic() < ends:
        time.sleep(0.01)


def strike(asked: Mapping[str, Any]) -> None:
    """Let a fault come at the first moment of that name of the first act of that name."""
    struck: list[float] = []

    def told(act: str, moment: str) -> None:
        if struck or (act, moment) != (asked["act"], asked["moment"]):
            return
        struck.append(time.time())
        Path(asked["struck"]).write_text(str(struck[0]))
        if asked["fault"] in SIGNALS:
            os.kill(os.getpid(), SIGNALS[asked["fault"]])
        elif asked["fault"] == "wait":
            wait_for(Path(asked["struck"] + "-go"))
        else:
            RunningPlatform(Path(asked["state"])).fault(asked["service"], Fault.model_validate(asked["http"]))

    at_each_act(told)
    told("", "start")


def note_calls(asked: Mapping[str, Any]) -> None:
    """Write down how many calls each service had seen at each moment of each act."""
    platform, file = RunningPlatform(Path(asked["state"])), Path(asked["calls"])

    def told(act: str, moment: str) -> None:
        if moment == "checked":
            # The call that passed its check is one of those that the next moment has seen.
            return
        seen = {name: len(platform.requests(name)) for name in SERVICES}
        with file.open("a") as lines:
            lines.write(json.dumps([act, moment, seen]) + "\n")

    at_each_act(told)
    told("", "start")


def run(asked: dict[str, Any], environment: dict[str, str], output: str) -> None:
    """Run the flow that is asked for; what it says goes to a file, its outcome too."""
    os.environ.clear()
    os.environ.update(environment)
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    every_task: Any = Task
    every_task.__call__ = called
    shorten_waits()
    if asked.get("fault"):
        strike(asked)
    if asked.get("calls"):
        note_calls(asked)
    given = asked["given"]
    if asked["flow"] == "release":
        given = {"request": ReleaseRequest.model_validate(given)}
    try:
        sys.stdout.write(f"{FLOWS[asked['flow']].fn(**given)}\n")
    except Exception:
        traceback.print_exc()
        sys.exit(1)
