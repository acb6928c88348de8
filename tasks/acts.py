"""The acts of a release: everything that it changes or finds out, by a closed list.

An act is in the ledger before it is done and after. What it may ask a service for stands here, and nothing else is
sent within it; so does how its effect is recognised where the process or the reply was lost, and what leads on then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

CREATE_BRANCH = "POST /projects/*/branches"
DELETE_BRANCH = "DELETE /projects/*/branches/*"
CHANGE_BRANCH = "PATCH /projects/*/branches/*"
RESTORE_BRANCH = "POST /projects/*/branches/*/restore"
CREATE_COMPUTE = "POST /projects/*/endpoints"
DELETE_COMPUTE = "DELETE /projects/*/endpoints/*"
SET_VARIABLE = "POST /v10/projects/*/env"
BUILD = "POST /v13/deployments"
PROMOTE_BUILD = "POST /v10/projects/*/promote/*"
ROLL_BACK_BUILD = "POST /v1/projects/*/rollback/*"
SET_CONFIG = "PATCH /v1/edge-config/*/items"


class Act(StrEnum):
    """An act, by the name that it has in the ledger."""

    PLAN = "plan"
    DELETE_OLD_SNAPSHOT = "delete old snapshot"
    SNAPSHOT = "snapshot"
    REHEARSAL = "rehearsal"
    DELETE_REHEARSAL_BRANCH = "delete rehearsal branch"
    RESET_STAGING = "reset staging"
    MIGRATE_STAGING = "migrate staging"
    DEPLOY_STAGING = "deploy staging"
    SMOKE_TESTS = "smoke tests"
    RESTORE_POINT = "restore point"
    MIGRATE_PRODUCTION = "migrate production"
    BUILD_PRODUCTION = "build production"
    CHECK_BUILD = "check build"
    PROMOTE = "promote"
    VALIDATE_DATABASE = "validate database"
    WATCH_PRODUCTION = "watch production"
    CONTRACT_PRODUCTION = "contract production"
    ROLL_BACK_STAGING = "roll back staging"
    DELETE_SNAPSHOT = "delete snapshot"
    DELETE_KEPT_STAGING = "delete kept staging"
    VERIFY_UNCHANGED = "verify that nothing changed"
    MAINTENANCE_ON = "maintenance mode on"
    MAINTENANCE_OFF = "maintenance mode off"
    LIFT_PROTECTION = "protection lifted"
    RESTORE = "restore production"
    RESTORE_PROTECTION = "protection set"
    ROLL_BACK_APPLICATION = "roll back application"
    TAKE_BACK_REVISIONS = "take back revisions"
    RECEIPT = "receipt"


_READS = "it changes nothing"


@dataclass(frozen=True)
class ActRule:
    """What an act may do, and what is done about it when it was cut off.

    Attributes:
        recognised: how it is seen whether it was done, where nobody lived to write it down.
        leads_on: what finishes or undoes it.
        sends: what it may ask a service for, with `*` for a part of a path; nothing where it only reads, or changes
            a database alone.
    """

    recognised: str
    leads_on: str
    sends: tuple[str, ...] = ()

    @property
    def only_reads(self) -> bool:
        """Whether nothing is to be found out where it was cut off."""
        return self.recognised == _READS

    def allows(self, change: str) -> bool:
        """Whether a request, such as `POST /projects/p/branches`, is one that the act makes."""
        return any(re.fullmatch(re.escape(one).replace(r"\*", "[^/]+"), change) for one in self.sends)


_REVISIONS = "alembic_version and the records in the schema pilotage, written in the revisions' own transactions"
_BUILT = "Vercel has a build that carries the release's id"
_SERVES_NOBODY = "a build without domains serves nobody"

RULES: Mapping[Act, ActRule] = {
    Act.PLAN: ActRule(_READS, "it is made again"),
    Act.DELETE_OLD_SNAPSHOT: ActRule("Neon has no branch of that name", "deleting again is the same", (DELETE_BRANCH,)),
    Act.SNAPSHOT: ActRule(
        "Neon has a branch named after the release", "it expires by itself, or the release deletes it", (CREATE_BRANCH,)
    ),
    Act.REHEARSAL: ActRule(
        "Neon has a branch named after the release's rehearsal",
        "recovery deletes it; it expires by itself",
        (CREATE_BRANCH, DELETE_BRANCH),
    ),
    Act.DELETE_REHEARSAL_BRANCH: ActRule(
        "Neon has no branch of that name", "deleting again is the same", (DELETE_BRANCH,)
    ),
    Act.RESET_STAGING: ActRule(
        "staging's database is production's", "staging is made a copy of production again", (RESTORE_BRANCH,)
    ),
    Act.MIGRATE_STAGING: ActRule(_REVISIONS, "staging is made a copy of production"),
    Act.DEPLOY_STAGING: ActRule(
        _BUILT,
        _SERVES_NOBODY,
        (SET_VARIABLE, BUILD),
    ),
    Act.SMOKE_TESTS: ActRule(_READS, "staging is made a copy of production"),
    Act.RESTORE_POINT: ActRule("the ledger has the point", "without a point nothing of production was touched"),
    Act.MIGRATE_PRODUCTION: ActRule(_REVISIONS, "applied on from where it stands, or taken back by the rollback path"),
    Act.BUILD_PRODUCTION: ActRule(
        _BUILT,
        _SERVES_NOBODY,
        (SET_VARIABLE, BUILD),
    ),
    Act.CHECK_BUILD: ActRule(_READS, "the build is checked again"),
    Act.PROMOTE: ActRule(
        "Vercel says which deployment production's address serves",
        "what serves is validated and watched, or the application is rolled back",
        (PROMOTE_BUILD,),
    ),
    Act.VALIDATE_DATABASE: ActRule(_READS, "it is validated again"),
    Act.WATCH_PRODUCTION: ActRule(_READS, "it is watched again"),
    Act.CONTRACT_PRODUCTION: ActRule(_REVISIONS, "applied again from where it stands, or production is restored"),
    Act.ROLL_BACK_STAGING: ActRule(
        "staging's database is production's", "staging is made a copy of production again", (RESTORE_BRANCH,)
    ),
    Act.DELETE_SNAPSHOT: ActRule("Neon has no branch of that name", "it expires by itself", (DELETE_BRANCH,)),
    Act.DELETE_KEPT_STAGING: ActRule("Neon has no branch of that name", "deleting again is the same", (DELETE_BRANCH,)),
    Act.VERIFY_UNCHANGED: ActRule(_READS, "it is verified again"),
    Act.MAINTENANCE_ON: ActRule(
        "the application says whether it refuses writes", "the rollback switches it off at its end", (SET_CONFIG,)
    ),
    Act.MAINTENANCE_OFF: ActRule(
        "the application says whether it refuses writes", "it is switched off again", (SET_CONFIG,)
    ),
    Act.LIFT_PROTECTION: ActRule(
        "Neon says whether production's branch is protected", "the protection is given back", (CHANGE_BRANCH,)
    ),
    Act.RESTORE: ActRule(
        "Neon has the branch that keeps the state before, named after the release that is undone",
        "it is never done twice: what a found restore leaves to do is done",
        (RESTORE_BRANCH,),
    ),
    Act.RESTORE_PROTECTION: ActRule(
        "Neon says whether production's branch is protected", "it is given back again", (CHANGE_BRANCH,)
    ),
    Act.ROLL_BACK_APPLICATION: ActRule(
        "Vercel says which deployment production's address serves",
        "the previous deployment is asked for again",
        (ROLL_BACK_BUILD,),
    ),
    Act.TAKE_BACK_REVISIONS: ActRule(_REVISIONS, "taken back from where it stands, or production is restored"),
    Act.RECEIPT: ActRule("the ledger has the receipt", "it is made again", (CREATE_COMPUTE, DELETE_COMPUTE)),
}


def rule_of(name: str) -> ActRule | None:
    """The rule of an act by the name that it has in the ledger; None of a note, or of an act that is no more."""
    return next((rule for act, rule in RULES.items() if act.value == name), None)
