"""How a flow ends that met a fault: by itself, by recovery, or by the one command that Slack names."""

import re
from typing import Any

from deployments.ledger import Release
from tasks import record
from tasks.acts import RULES, Act
from tests.faults.generated.calls import Call
from tests.faults.generated.invariants import hold_invariants
from tests.faults.generated.spoiled_answers import Spoiled
from tests.faults.generated.target import Target
from tests.faults.report import Told
from tests.users_at_work import Users

NO_RECEIPT = "to mend: the receipt could not be made"


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
    assert not waiting or waiting[0].times < fault.get("times", 1), f"{call} was not asked: see calls.txt; {ended.said}"
    struck_at = target.struck_at
    target.platform.clear_faults()
    row = first or target.newest()
    ending = conclude(target, may_need_person=kind.lasts or kind.may_need_person)
    fault_name = f"{call.method} {call.path}: {kind.name}"
    told(flow, call.act or "start", call.moment, fault_name, ending=ending, since=struck_at)
    hold_invariants(target, users, row, sent_again=call.service == "slack")


def hand_over(flow: str, given: dict[str, Any], act: str, moment: str, target: Target) -> None:
    """Tell a flow to stop at a moment of an act: it ends once the act is written, and begins no further one.

    Where it was told to in what ends it, it ends as it would have.
    """
    stopped = target.run(flow, given, act=act, moment=moment, fault="term")
    assert target.struck.exists(), f"the flow never came there: {stopped.said}"
    row = target.newest()
    if row.state != "running":
        return
    with target.ledger() as ledger:
        steps = ledger.steps(row.id)
    events = [step.event for step in steps if step.step == act]
    assert events[-1] in ("done", "failed") or RULES[Act(act)].only_reads, steps
    assert any(step.step == record.TOLD_TO_STOP for step in steps), stopped.said
    assert steps[-1].step == record.TOLD_TO_STOP


def conclude(target: Target, *, may_need_person: bool) -> str:
    """Let what follows by itself be done, and where a person is needed, what a person is told to do.

    Args:
        target: the target.
        may_need_person: whether a person may be told to run a command: where it went on until the flow had ended,
            so that it could not tell.

    Returns:
        How it ended.
    """
    ending = finish(target)
    if not may_need_person:
        assert ending != "undecided", target.newest().summary
        assert "to mend" not in target.newest().summary, target.newest().summary
    needs_person = ending == "undecided" or NO_RECEIPT in target.newest().summary
    return f"{ending}, then {follow_advice(target)}" if needs_person else ending


def finish(target: Target) -> str:
    """Recover what is still open, and let the watchdog look for what is left; how it ended."""
    if target.newest().state == "running":
        recovered = target.run("recover", {})
        assert target.newest().state != "running", recovered.said
    watched = target.run("watchdog", {})
    assert watched.code == 0, watched.said
    return target.newest().state


def follow_advice(target: Target) -> str:
    """Run the command that Slack names; how that ended."""
    told = [str(message["blocks"]) for message in target.platform.slack_messages()]
    advice = [text.partition("What to do:")[2] for text in told if target.newest().id in text]
    commands = re.findall(r"`pilotage ([^`]*)`", advice[-1])
    assert commands, f"no command leads on: {advice[-1]}"
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
