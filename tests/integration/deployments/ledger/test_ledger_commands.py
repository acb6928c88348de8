import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deployments.ledger import Ledger, Release
from flows.cli.ledger import ledger as ledger_command
from flows.cli.release import app as release_app
from tasks import production_state
from tasks.notification import message

SETTINGS = {
    "NEON_API_URL": "http://127.0.0.1:1/api/v2",
    "NEON_API_KEY": "key",
    "NEON_PROJECT_ID": "quiet-harbor-12345678",
    "NEON_DATABASE": "shop",
    "NEON_OWNER_ROLE": "shop_owner",
    "NEON_APP_ROLE": "shop_app",
    "VERCEL_API_URL": "http://127.0.0.1:1",
    "VERCEL_TOKEN": "token",
    "VERCEL_TEAM_ID": "team_1",
    "VERCEL_PROJECT_ID": "prj_1",
    "VERCEL_CONFIG_ID": "ecfg_1",
    "VERCEL_AUTOMATION_BYPASS_SECRET": "bypass",
    "RELEASE_REPOSITORY": "/nowhere.git",
    "PRODUCTION_URL": "http://127.0.0.1:1",
    "SLACK_WEBHOOK_URL": "http://127.0.0.1:1/hook",
}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    for name, value in {**SETTINGS, "LEDGER_URL": url, "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    with Ledger.open(url) as opened:
        yield opened


def begin(ledger: Ledger, lease_s: float = 60) -> Release:
    return ledger.begin_release(
        target="shop",
        ref="v2",
        commit_sha="5d1c" * 10,
        target_revision="20251101_0900",
        requested_by="ana",
        flow_run_id=None,
        lease_s=lease_s,
    )


def run(*arguments: str, answer: str | None = None) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command("ledger")(ledger_command)
    app.add_typer(release_app, name="release")
    result = CliRunner().invoke(app, arguments, input=answer)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def as_json(*arguments: str) -> dict[str, Any]:
    code, said, _ = run("ledger", *arguments, "--json")
    assert code == 0
    return json.loads(said)


def test_ledger_without_releases_says_so(ledger: Ledger) -> None:
    assert run("ledger") == (0, "The ledger has no release yet.\n", "")


def test_ledger_lists_releases_newest_first(ledger: Ledger) -> None:
    first = begin(ledger)
    ledger.end_release(first.id, "rolled_back", "rolled back: [the application]")
    second = begin(ledger)
    _, said, _ = run("ledger")
    assert re.findall(r"\d{8}-\d{6}-\w{4}", said) == [second.id, first.id]
    assert "rolled back: [the application]" in said
    _, said, _ = run("ledger", "--limit", "1")
    assert first.id not in said
    assert [each["id"] for each in as_json()["releases"]] == [second.id, first.id]


def test_ledger_of_one_release_shows_each_act_with_its_duration(ledger: Ledger) -> None:
    release = begin(ledger)
    with ledger.step(release.id, "seal", {"branch": "before-v2"}) as step:
        step.result({"lsn": "0/19F2C40", "counts": {"users": 12}})
    code, said, _ = run("ledger", release.id)
    assert code == 0
    assert "v2 at " + "5d1c" * 10 in said
    assert re.search(r"1 +\d\d:\d\d:\d\d +seal +begun +branch: before-v2", said)
    assert re.search(r"2 +\d\d:\d\d:\d\d +seal +done +\d+ m?s +lsn: 0/19F2C40", said)
    assert 'counts: {"users": 12}' in said
    steps = as_json(release.id)["steps"]
    assert [each["event"] for each in steps] == ["begun", "done"]
    assert steps[1]["details"] == {"lsn": "0/19F2C40", "counts": {"users": 12}}
    assert steps[1]["at"].endswith("+00:00")


def test_ledger_of_one_release_shows_what_slack_was_not_told_as_it_would_have_been_sent(ledger: Ledger) -> None:
    release = begin(ledger)
    assert "Not told to Slack" not in run("ledger", release.id)[1]
    ledger.keep_message(
        "shop",
        "Release of v2 failed",
        message("Release of v2 failed", {"Way back": "restore"}, "it broke", "look"),
        release_id=release.id,
    )
    code, said, _ = run("ledger", release.id)
    shown = said[said.index("Not told to Slack, which did not take it") :]
    assert code == 0
    assert "UTC, waiting: Release of v2 failed" in shown
    assert [line.strip() for line in shown.splitlines()[2:]] == [
        "*Way back*",
        "restore",
        "it broke",
        "*What to do:* look",
    ]
    (kept,) = as_json(release.id)["not_told"]
    assert (kept["text"], kept["state"], kept["sent_at"]) == ("Release of v2 failed", "waiting", None)


def test_ledger_names_an_unknown_release_on_stderr(ledger: Ledger) -> None:
    code, said, error = run("ledger", "19700101-000000-0000")
    assert (code, said) == (1, "")
    assert "the ledger has no release 19700101-000000-0000" in error


def test_abandon_shows_what_was_left_and_closes_after_a_yes(ledger: Ledger) -> None:
    release = begin(ledger, lease_s=-1)
    ledger.begin_step(release.id, "promote", {"deployment": "dpl_1", "maintenance": True, "protection_lifted": True})
    code, said, _ = run("release", "abandon", release.id, "--reason", "worker lost", answer="y\n")
    assert code == 0
    assert "running, lease expired" in said
    assert "its process still lives: stop it first" in said
    assert re.search(r"1 +\d\d:\d\d:\d\d +promote +begun", said)
    assert (
        "promote: to see whether it was done: Vercel says which deployment production's address serves; then: " in said
    )
    assert re.search(r"Deployments +dpl_1", said)
    assert "cannot tell whether it still is" in said
    assert "cannot tell whether production's branch is protected" in said
    closed = ledger.release(release.id)
    assert closed.state == "abandoned"
    assert closed.summary.endswith(": worker lost")
    assert closed.summary in " ".join(said.split())


@pytest.mark.parametrize(
    ("stands", "maintenance", "protection"),
    [
        (True, "writes are refused until it is taken off", "production's branch is protected now"),
        (False, "was switched on, and is off now", "lifted: production's branch is unprotected"),
    ],
)
def test_abandon_says_what_stands_whatever_the_ledger_heard_last(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, stands: bool, maintenance: str, protection: str
) -> None:
    def told(_: object) -> bool:
        return stands

    monkeypatch.setattr(production_state, "maintenance", told)
    monkeypatch.setattr(production_state, "protected", told)
    release = begin(ledger, lease_s=-1)
    ledger.note(release.id, "protection lifted", {"maintenance": True, "protection_lifted": True})
    _, said, _ = run("release", "abandon", release.id, "--yes")
    assert maintenance in said
    assert protection in said


def test_abandon_says_nothing_of_what_was_given_back(ledger: Ledger) -> None:
    release = begin(ledger, lease_s=-1)
    ledger.note(release.id, "protection lifted", {"maintenance": True, "protection_lifted": True})
    ledger.note(release.id, "protection set", {"maintenance": False, "protection_lifted": False})
    _, said, _ = run("release", "abandon", release.id, "--yes")
    assert "It left nothing behind that the ledger knows of." in said
    assert "What to do: production was not touched: `pilotage release start " in said


def test_abandon_changes_nothing_after_a_no(ledger: Ledger) -> None:
    release = begin(ledger, lease_s=-1)
    code, said, _ = run("release", "abandon", release.id, answer="n\n")
    assert code == 1
    assert "It left nothing behind that the ledger knows of." in said
    assert ledger.release(release.id).state == "running"


def test_abandon_does_not_ask_when_told_so(ledger: Ledger) -> None:
    release = begin(ledger, lease_s=-1)
    assert run("release", "abandon", release.id, "--yes")[0] == 0
    assert ledger.release(release.id).state == "abandoned"


def test_abandon_refuses_a_living_release_before_it_asks(ledger: Ledger) -> None:
    release = begin(ledger)
    code, said, error = run("release", "abandon", release.id)
    assert (code, said) == (1, "")
    assert "is alive, and its lease is live until" in error
