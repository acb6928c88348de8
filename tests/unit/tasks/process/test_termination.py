"""A run that is told to stop: it finishes its act within the bound, begins no further one, and ends in any case."""

import signal
import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import os, signal, sys, time
from contextlib import suppress
from prefect.exceptions import TerminationSignal
from prefect.utilities.engine import can_ack_control_intent, capture_sigterm
from tasks.process import termination

def told():
    os.kill(os.getpid(), signal.SIGTERM)

def worked(seconds):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.01)
"""


def ran(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_act_is_finished_and_no_further_one_begun() -> None:
    done = ran("""
    with suppress(TerminationSignal), termination.finishing_acts(20):
        with termination.act():
            told()
            with termination.act():
                print("an act within it")
            told()
            print("finished")
        print("went on")
    """)
    assert (done.stdout.splitlines(), done.returncode) == (["an act within it", "finished"], 0), done.stderr


def test_no_act_is_begun_where_what_told_it_was_lost_between_two() -> None:
    done = ran("""
    with suppress(TerminationSignal), termination.finishing_acts(20):
        with suppress(TerminationSignal):
            told()
        with termination.act():
            print("went on")
    """)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("where", ["suppress()", "termination.act(is_left_at_once=True)"])
def test_a_run_that_is_in_no_act_or_in_one_that_only_reads_is_left_at_once(where: str) -> None:
    done = ran(f"""
    with suppress(TerminationSignal), termination.finishing_acts(20), {where}:
        told()
        print("went on")
    """)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_an_act_that_does_not_end_is_left_when_the_bound_is_over() -> None:
    done = ran("""
    try:
        with termination.finishing_acts(0.3), termination.act():
            told()
            worked(30)
            print("finished")
    except TerminationSignal:
        print("left")
    """)
    assert (done.stdout.splitlines(), done.returncode) == (["left"], 0), done.stderr


def test_a_process_that_does_not_end_is_killed() -> None:
    done = ran("""
    termination.LAST_S = 0.3
    with termination.finishing_acts(0.3), termination.act():
        told()
        try:
            worked(30)
        except BaseException:
            worked(30)
    """)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_what_ends_a_run_is_finished_and_the_run_with_it() -> None:
    done = ran("""
    termination.LAST_S = 0.3
    with termination.finishing_acts(0.3):
        with termination.last_act():
            told()
        print("ended as it would")
    worked(1)
    """)
    assert (done.stdout.splitlines(), done.returncode) == (["ended as it would"], 0), done.stderr


def test_prefect_can_still_say_that_it_is_a_cancel_and_has_its_handler_back() -> None:
    done = ran("""
    with capture_sigterm():
        before = signal.getsignal(signal.SIGTERM)
        with termination.finishing_acts(5):
            assert signal.getsignal(signal.SIGTERM) is not before
            assert can_ack_control_intent()
        assert signal.getsignal(signal.SIGTERM) is before
        assert can_ack_control_intent()
    """)
    assert done.returncode == 0, done.stderr
