"""Tickets, and what is said in them."""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import DAY_MS, END_MS, log_normal, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import GeneratedPerson, Plan

_TICKETS = (
    "id", "userId", "assignedTo", "agentId", "conversationId", "category", "priority", "status", "subject",
    "description", "tags", "rating", "firstResponseAt", "resolvedAt", "closedAt", "createdAt", "updatedAt",
)  # fmt: skip
_MESSAGES = ("id", "ticketId", "authorId", "agentId", "content", "isInternal", "readAt", "createdAt", "updatedAt")

_CATEGORIES: Final = shared(
    {"QUESTION": 35, "BUG": 25, "ACCOUNT": 12, "BILLING": 12, "FEATURE": 9, "PERFORMANCE": 5, "OTHER": 2}
)
_PRIORITIES: Final = shared({"MEDIUM": 55, "LOW": 25, "HIGH": 15, "URGENT": 5})
_OLD: Final = shared({"CLOSED": 68, "RESOLVED": 20, "CANCELLED": 6, "WAITING_USER": 6})
_NEW: Final = shared({"OPEN": 35, "IN_PROGRESS": 30, "WAITING_USER": 15, "RESOLVED": 20})
_ENDED: Final = ("RESOLVED", "CLOSED")


class _Ticket(NamedTuple):
    place: int
    made: int
    answered: int
    ended: int
    status: str
    staff: int
    replies: int
    text: int


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("support_tickets", _TICKETS, partial(_tickets, plan)),
        TableRows("support_messages", _MESSAGES, partial(_messages, plan)),
    )


def _of(plan: Plan, user: int, person: GeneratedPerson) -> Iterator[_Ticket]:
    roll = plan.roll("support", user)
    for place in range(plan.count(roll, user, 1.0)):
        made = min(plan.after(roll, person.born), END_MS - DAY_MS)
        answered = made + int(min(log_normal(roll, 2.5, 1.0), 20) * 3_600_000)
        ended = answered + int(min(log_normal(roll, 18.0, 1.0), 200) * 3_600_000)
        status = one_of(roll, _OLD if ended < END_MS - 10 * DAY_MS else _NEW)
        staff, replies = int(roll.random() * plan.admins), 1 + int(roll.expovariate(0.5))
        yield _Ticket(place, made, answered, min(ended, END_MS - 1), status, staff, replies, roll.randrange(2_000))


def _tickets(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        said = plan.dialogues[person.language]
        roll = plan.roll("support_tickets", user)
        talks = [talk.key for _, talk in zip(range(8), plan.talks(user, person.born), strict=False)]
        for one in _of(plan, user, person):
            topic = said.topics[one.text]
            over = one.status in _ENDED
            closed = one.status in {"CLOSED", "CANCELLED"}
            yield (
                plan.key("support_tickets", user, one.place),
                plan.user(user),
                plan.user(one.staff) if one.status != "OPEN" else NULL,
                plan.key("agents", 0, one.text % plan.agents) if roll.random() < 0.4 else NULL,
                plan.key("conversations", user, one_of(roll, talks)) if talks and roll.random() < 0.3 else NULL,
                one_of(roll, _CATEGORIES),
                one_of(roll, _PRIORITIES),
                one.status,
                topic[0].upper() + topic[1:],
                said.questions[one.text],
                field([person.language]),
                str(1 + min(4, int(roll.random() ** 0.4 * 5))) if over and roll.random() < 0.6 else NULL,
                stamp(one.answered) if one.status != "OPEN" else NULL,
                stamp(one.ended) if over else NULL,
                stamp(one.ended + DAY_MS) if closed else NULL,
                stamp(one.made),
                stamp(one.ended + DAY_MS if closed else one.ended if over else one.made),
            )


def _messages(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        said = plan.dialogues[person.language]
        roll = plan.roll("support_messages", user)
        for one in _of(plan, user, person):
            if one.status == "OPEN":
                continue
            for place in range(one.replies):
                ours = place % 2 == 0
                moment = one.answered + (one.ended - one.answered) * place // one.replies
                texts = said.answers if ours else said.questions
                by_agent = ours and roll.random() < 0.2
                yield (
                    plan.key("support_messages", user, one.place * 256 + place),
                    plan.key("support_tickets", user, one.place),
                    NULL if by_agent else plan.user(one.staff if ours else user),
                    plan.key("agents", 0, one.text % plan.agents) if by_agent else NULL,
                    texts[(one.text + place) % len(texts)],
                    TRUE if ours and not by_agent and roll.random() < 0.08 else FALSE,
                    stamp(moment + 900_000) if roll.random() < 0.8 else NULL,
                    stamp(moment),
                    stamp(moment),
                )
