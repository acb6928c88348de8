"""How a flow ends that met a fault: by itself, by recovery, or by the one command that Slack names."""

import re
from typing import Any

from deployments.ledger import Release
from tests.faults.generated.calls import Call
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.spoiled_answers import Spoiled
from tests.faults.generated.target import Target
from tests.faults.report import Told
from tests.users_at_work import Users


def end_well(
    target: Target,
    users: Users,
    told: Told,
    flow: str,
    given: dict[str, Any],
    call: Call,
    kind: Spoiled,
    *,
    first: Release | None = None,
) -> None:
    """Run a flow one of whose calls goes wrong, and what follows by itself, and hold the invariants.

    Args:
        target: the target.
        users: the users at work.
        told: takes the outcome.
        flow: what runs.
        given: what it is given.
        call: the call.
        kind: what becomes of it.
        first: the first row of the ledger that belongs to the test; the one that the flow opens, where None.
    """
    fault: dict[str, Any] = {"method": call.method, "path": call.pattern, **kind.fault}
    ended = target.run(flow, given, act=call.act, moment=call.moment, fault="call", service=call.service, http=fault)
    assert target.struck.exists(), f"the flow never came there: {ended.said}"
    waiting = target.platform.waiting_faults(call.service)
    assert not waiting or waiting[0].times < fault.get("times", 1), f"the call was not made: {ended.said}"
    struck_at = target.struck_at
    target.platform.clear_faults()
    endings, opened = [finish(target)], first or target.newest()
    if endings[0] == "undecided" or "to mend" in target.newest().summary:
        assert kind.lasts, f"a person is needed after a passing fault: {target.newest().summary}"
        endings.append(follow_advice(target))
    told(
        flow,
        call.act or "start",
        call.moment,
        f"{call.method} {call.path}: {kind.name}",
        ending=", then ".join(endings),
        since=struck_at,
    )
    hold_invariants(
        target,
        users,
        opened,
        slack_heard=not (kind.lasts and call.service == "slack"),
        neon_heard=not (kind.lasts and call.service == "neon"),
    )


def finish(target: Target) -> str:
    """Recover what is still open; how it ended."""
    if target.newest().state == "running":
        recovered = target.run("recover", {})
        assert target.newest().state != "running", recovered.said
    return target.newest().state


def follow_advice(target: Target) -> str:
    """Run the command that Slack names; how that ended."""
    message = str(target.platform.slack_messages()[-1]["blocks"])
    to_mend = message.partition("*To mend*")[2].partition("'type'")[0]
    commands = re.findall(r"`pilotage ([^`]*)`", to_mend + message.partition("What to do:")[2])
    if not commands:
        return "nothing to do"
    words = commands[0].split()
    match words:
        case ["release", "start", ref, *options]:
            given = {"ref": ref, "watch_seconds": 5, "reset_staging": "--reset-staging" in options}
            ended = target.run("release", given)
        case ["rollback", release_id, "--way", way]:
            ended = target.run("rollback", {"release_id": release_id, "way": way})
        case ["recover", *_]:
            ended = target.run("recover", {})
        case _:
            raise AssertionError(f"a person is told to run {commands[0]}")
    assert target.newest().state != "undecided", ended.said
    return f"{' '.join(words[:2])}: {target.newest().state}"
