"""Names of revisions: YYYYMMDD_HHMM_action_description.py, whose first half is the revision's id."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from migrations.authoring.consistency.finding import CheckResult, Finding
from migrations.history.revisions import History, Revision

ACTIONS: Final = ("init", "add", "create", "update", "remove", "fix", "migrate", "optimize")
PHASES: Final = ("expand", "contract")
# Alembic keeps the id in a varchar(32).
LONGEST_ID: Final = 32
ID: Final = re.compile(r"\d{8}_\d{4}")
STAMP: Final = "%Y%m%d_%H%M"
_FILE: Final = re.compile(rf"(?P<id>\d{{8}}_\d{{4}})_({'|'.join(ACTIONS)})_[a-z0-9]+(_[a-z0-9]+)*\.py")


def check_names(history: History) -> CheckResult:
    """Whether each file is named by the convention, and each revision after the minute it was made in."""
    return CheckResult.of("names", [found for one in history.revisions for found in _named(one, history)])


def check_phases_declared(history: History) -> CheckResult:
    """Whether each revision says if it comes before the application or after it."""
    return CheckResult.of(
        "phases",
        [
            Finding(
                one.path.name,
                f"declares phase {one.phase!r}" if one.phase else "declares no phase",
                'write `phase = "expand"` where the running application goes on working, `phase = "contract"` where '
                "only the new one does",
            )
            for one in history.revisions
            if one.phase not in PHASES
        ],
    )


def is_stamp(revision: str) -> bool:
    """Whether a revision's id is a minute of the calendar."""
    if not ID.fullmatch(revision):
        return False
    try:
        datetime.strptime(revision, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _named(revision: Revision, history: History) -> Iterable[Finding]:
    name = revision.path.name
    if len(revision.id) > LONGEST_ID:
        yield Finding(name, f"its id {revision.id} is longer than {LONGEST_ID} characters", "give it a shorter one")
    if not is_stamp(revision.id):
        yield Finding(
            name, f"its id {revision.id} is no minute (YYYYMMDD_HHMM)", "name it after the minute it was made in"
        )
    found = _FILE.fullmatch(name)
    if found is None:
        yield Finding(
            name,
            "its name is not YYYYMMDD_HHMM_action_description.py",
            f"rename the file; the action is one of {', '.join(ACTIONS)}, the description in small letters",
        )
    elif found["id"] != revision.id:
        yield Finding(name, f"its id is {revision.id}, and its name says {found['id']}", "make both the same")
    for below in revision.down_revisions:
        if below in history and is_stamp(below) and is_stamp(revision.id) and below >= revision.id:
            yield Finding(
                name, f"it follows {below}, which is not older", "give it a later minute than what it follows"
            )
