"""Services that users have connected, and each time that they were looked at."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import DAY_MS, END_MS, one_of, shared, stamp
from migrations.seeds._identity import address
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_INTEGRATIONS = (
    "id", "userId", "provider", "account", "accessToken", "refreshToken", "tokenExpiresAt", "scopes", "config",
    "isActive", "syncIntervalMinutes", "nextSyncAt", "createdAt", "updatedAt",
)  # fmt: skip
_LOGS = (
    "id", "integrationId", "status", "trigger", "cursor", "itemsRead", "itemsChanged", "error", "startedAt",
    "finishedAt", "createdAt", "updatedAt",
)  # fmt: skip
_PROVIDERS: Final = ("gmail", "google_drive", "notion", "slack")
_TRIGGERS: Final = shared({"SCHEDULE": 80, "WEBHOOK": 12, "USER": 8})


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("mcp_integrations", _INTEGRATIONS, partial(_integrations, plan)),
        TableRows("mcp_sync_logs", _LOGS, partial(_logs, plan)),
    )


def _connected(plan: Plan, user: int) -> range:
    """Which services a user has connected."""
    roll = plan.roll("mcp", user)
    return range(0 if roll.random() > 0.3 and user else 1 + int(roll.random() * 2))


def _integrations(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        roll = plan.roll("mcp_integrations", user)
        for place in _connected(plan, user):
            moment = plan.after(roll, person.born)
            revoked = roll.random() < 0.1
            provider = _PROVIDERS[(user + place) % len(_PROVIDERS)]
            yield (
                plan.key("mcp_integrations", user, place),
                plan.user(user),
                provider,
                address(plan, user, person),
                NULL if revoked else f"access-{roll.getrandbits(160):040x}",
                NULL if revoked else f"refresh-{roll.getrandbits(160):040x}",
                NULL if revoked else stamp(END_MS + 3_600_000),
                field(["read"] if roll.random() < 0.8 else ["read", "write"]),
                field({"label": "inbox"} if provider == "gmail" else {}),
                FALSE if revoked else TRUE,
                one_of(roll, ("15", "60", "60", "1440")),
                stamp(END_MS),
                stamp(moment),
                stamp(moment),
            )


def _logs(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("mcp_sync_logs", user)
        born = plan.person(user).born
        for place in _connected(plan, user):
            for time in range(6 + int(roll.random() * 6)):
                # The last one may still be running, or wait for its turn.
                state = ("RUNNING" if roll.random() < 0.05 else "COMPLETED") if time == 0 else "COMPLETED"
                state = "FAILED" if roll.random() < 0.06 and state == "COMPLETED" else state
                began = END_MS - 60_000 if state == "RUNNING" else min(plan.after(roll, born), END_MS - DAY_MS)
                read = int(roll.expovariate(1 / 40))
                ended = stamp(began + 1_500 + read * 30) if state != "RUNNING" else NULL
                yield (
                    plan.key("mcp_sync_logs", user, place * 64 + time),
                    plan.key("mcp_integrations", user, place),
                    state,
                    one_of(roll, _TRIGGERS),
                    f"page-{read}" if state == "COMPLETED" else NULL,
                    str(read),
                    str(int(read * roll.random())),
                    "the service did not answer" if state == "FAILED" else NULL,
                    stamp(began),
                    ended,
                    stamp(began),
                    ended if ended != NULL else stamp(began),
                )
