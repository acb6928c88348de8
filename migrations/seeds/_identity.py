"""Users, and how they log in."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from unicodedata import combining, normalize

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import DAY_MS, END_MS, START, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds._usage import months
from migrations.seeds.plan import GeneratedPerson, Plan

_USERS = (
    "id", "email", "emailVerified", "name", "displayName", "dateOfBirth", "timezone", "language", "bio", "role",
    "permissions", "isActive", "subscriptionTier", "subscriptionStart", "totalMessages", "totalTokensUsed",
    "monthlyMessages", "monthlyTokens", "lastResetAt", "lastInteraction", "createdAt", "updatedAt",
)  # fmt: skip
_ACCOUNTS = (
    "id", "userId", "type", "provider", "providerAccountId", "refresh_token", "access_token", "expires_at",
    "token_type", "scope", "id_token", "createdAt", "updatedAt",
)  # fmt: skip
_INVITATIONS = ("id", "email", "token", "role", "status", "invitedBy", "expiresAt", "acceptedAt", "createdAt")

_ZONES = shared({"America/Mexico_City": 70, "America/Bogota": 10, "Europe/Madrid": 10, "America/New_York": 10})
_PROVIDERS = shared({"google": 70, "github": 20, "microsoft": 10})
_INVITED = shared({"ACCEPTED": 60, "EXPIRED": 20, "PENDING": 15, "CANCELLED": 5})
_LAST_MONTH = (2025, 12)
_EPOCH_S = 1_704_067_200


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("users", _USERS, partial(_users, plan)),
        TableRows("accounts", _ACCOUNTS, partial(_accounts, plan)),
        TableRows("auth_sessions", ("id", "sessionToken", "userId", "expires"), partial(_auth_sessions, plan)),
        TableRows("verification_tokens", ("identifier", "token", "expires"), partial(_tokens, plan)),
        TableRows("invitations", _INVITATIONS, partial(_invitations, plan)),
    )


def address(plan: Plan, user: int, person: GeneratedPerson) -> str:
    """A user's address; no other user of any seed has it."""
    return f"{plainly(person.first)}.{plainly(person.last)}.{user}@{plan.domain}"


def plainly(name: str) -> str:
    """A name in small letters without accents, as addresses have it."""
    return "".join(letter for letter in normalize("NFKD", name.lower()) if not combining(letter))


def _users(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        roll = plan.roll("users", user)
        used = months(plan, user, person.born, person.language)
        last = used[-1].last if used else None
        now = next((one for one in used if (one.year, one.month) == _LAST_MONTH), None)
        paying = person.tier != "FREE"
        yield (
            plan.user(user),
            address(plan, user, person),
            stamp(person.born + 600_000) if roll.random() < 0.93 else NULL,
            f"{person.first} {person.last}",
            person.first if roll.random() < 0.4 else NULL,
            (START - dt.timedelta(days=int(roll.triangular(18, 75, 32) * 365.25))).isoformat(),
            one_of(roll, _ZONES),
            person.language,
            NULL,
            person.role,
            field({"beta": True}) if roll.random() < 0.05 else NULL,
            TRUE if roll.random() < 0.96 or user < plan.admins else FALSE,
            person.tier,
            stamp(person.born + DAY_MS) if paying else NULL,
            str(sum(one.calls for one in used)),
            str(sum(one.tokens for one in used)),
            str(now.calls if now else 0),
            str(now.tokens if now else 0),
            stamp(END_MS - 31 * DAY_MS),
            stamp(last) if last else NULL,
            stamp(person.born),
            stamp(last or person.born),
        )


def _accounts(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        roll = plan.roll("accounts", user)
        first = one_of(roll, _PROVIDERS)
        providers = (first, "github") if first == "google" and roll.random() < 0.25 else (first,)
        for place, provider in enumerate(providers):
            moment = person.born + place * 30 * DAY_MS
            yield (
                plan.key("accounts", user, place),
                plan.user(user),
                "oauth",
                provider,
                f"{plan.domain}-{user}",
                f"refresh-{roll.getrandbits(120):030x}" if provider == "google" else NULL,
                f"access-{roll.getrandbits(160):040x}",
                str(_EPOCH_S + moment // 1000 + 3600),
                "bearer",
                "openid email profile",
                f"id-{roll.getrandbits(160):040x}" if provider == "google" else NULL,
                stamp(moment),
                stamp(moment),
            )


def _auth_sessions(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("auth_sessions", user)
        for place in range(plan.count(roll, user, 0.8)):
            expires = END_MS + int(roll.random() * 30 * DAY_MS)
            yield (
                plan.key("auth_sessions", user, place),
                f"{plan.domain}-{user}-{roll.getrandbits(128):032x}",
                plan.user(user),
                stamp(expires),
            )


def _tokens(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("verification_tokens", user)
        if roll.random() < 0.04 or user == 0:
            token = f"{plan.domain}-{user}-{roll.getrandbits(128):032x}"
            yield (address(plan, user, plan.person(user)), token, stamp(END_MS + int(roll.random() * DAY_MS)))


def _invitations(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("invitations", user)
        if roll.random() > 0.1 and user:
            continue
        status = one_of(roll, _INVITED)
        made = (
            min(plan.after(roll, 0), END_MS - 9 * DAY_MS)
            if status != "PENDING"
            else END_MS - int(roll.random() * 6 * DAY_MS) - 1
        )
        yield (
            plan.key("invitations", user),
            f"invited.{user}@{plan.domain}",
            f"{plan.domain}-{user}-{roll.getrandbits(128):032x}",
            "USER" if roll.random() < 0.8 else "INVITED_AGENT",
            status,
            plan.user(user % plan.admins),
            stamp(made + 7 * DAY_MS),
            stamp(made + int(roll.random() * 3 * DAY_MS)) if status == "ACCEPTED" else NULL,
            stamp(made),
        )
