"""Usage: a row for each call of a model, each user's months, which are the sum of them, and what was audited."""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from migrations.seeds._agents import answered_at, model_of
from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import DAY_MS, date, money, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_LOGS = (
    "id", "userId", "agentId", "conversationId", "sourceMessageId", "messageId", "tokensInput", "tokensOutput",
    "totalTokens", "model", "costInput", "costOutput", "totalCost", "duration", "success", "errorMessage", "timestamp",
)  # fmt: skip
_MONTHS = (
    "id", "userId", "year", "month", "totalMessages", "totalTokens", "totalCost", "agentUsage", "limitMessages",
    "limitTokens", "exceededLimit", "warningsSent", "createdAt", "updatedAt",
)  # fmt: skip
_ALERTS = ("id", "userId", "type", "threshold", "triggered", "resolvedAt", "createdAt")
_AUDIT = ("id", "adminId", "action", "targetType", "targetId", "details", "ipAddress", "timestamp")

_PRICES: Final[dict[str, tuple[int, int]]] = {
    "gemini-2.0-flash": (100, 400),
    "gpt-4o-mini": (150, 600),
    "claude-3-5-haiku": (800, 4_000),
    "gpt-4o": (2_500, 10_000),
}
"""Millionths of a dollar for a thousand tokens in, and out."""

_LIMITS: Final = {"FREE": (50, 20_000), "BASIC": (300, 150_000), "PRO": (2_000, 1_000_000)}
_THRESHOLDS: Final = (("APPROACHING_LIMIT", 80), ("LIMIT_WARNING", 90), ("LIMIT_EXCEEDED", 100))
_ACTIONS: Final = shared(
    {"user.update": 45, "user.login": 25, "user.deactivate": 5, "user.view": 15, "user.export": 10}
)


class Month(NamedTuple):
    """What a user used in a month; cost in millionths of a dollar."""

    year: int
    month: int
    calls: int
    tokens: int
    cost: int
    last: int
    agents: dict[int, list[int]]


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("usage_logs", _LOGS, partial(_logs, plan)),
        TableRows("monthly_usage", _MONTHS, partial(_monthly, plan)),
        TableRows("usage_alerts", _ALERTS, partial(_alerts, plan)),
        TableRows("audit_logs", _AUDIT, partial(_audit, plan)),
    )


def costs(model: str, tokens_in: int, tokens_out: int) -> tuple[int, int]:
    """What a call costs in and out, in millionths of a dollar."""
    price_in, price_out = _PRICES[model]
    return tokens_in * price_in // 1000, tokens_out * price_out // 1000


def months(plan: Plan, user: int, born: int, language: str) -> list[Month]:
    """A user's months, in order: the sums of the calls."""
    said = plan.dialogues[language]
    found: dict[str, Month] = {}
    for talk in plan.talks(user, born):
        model = model_of(talk.agent)
        for pair in range(talk.pairs):
            place = talk.place + pair
            moment = answered_at(talk, pair)
            tokens_in, tokens_out = said.tokens_in[place], said.tokens_out[place]
            cost = sum(costs(model, tokens_in, tokens_out))
            name = date(moment // DAY_MS)[:7]
            was = found.get(name) or Month(int(name[:4]), int(name[5:]), 0, 0, 0, 0, {})
            of_agent = was.agents.setdefault(talk.agent, [0, 0])
            of_agent[0] += 1
            of_agent[1] += tokens_in + tokens_out
            found[name] = Month(
                was.year,
                was.month,
                was.calls + 1,
                was.tokens + tokens_in + tokens_out,
                was.cost + cost,
                max(was.last, moment),
                was.agents,
            )
    return [found[name] for name in sorted(found)]


def _logs(plan: Plan) -> Iterator[Row]:
    # What a call costs is written once for each model and text.
    written = {
        (language, model): tuple(_written(model, a, b) for a, b in zip(said.tokens_in, said.tokens_out, strict=True))
        for language, said in plan.dialogues.items()
        for model in _PRICES
    }
    agents = [plan.key("agents", 0, agent) for agent in range(plan.agents)]
    for user in plan.everyone():
        person = plan.person(user)
        key = plan.user(user)
        for talk in plan.talks(user, person.born):
            texts = written[person.language, model_of(talk.agent)]
            conversation = plan.key("conversations", user, talk.key)
            for pair in range(talk.pairs):
                place = talk.place + pair
                number = talk.key * 64 + 2 * pair + 1
                message = plan.key("messages", user, number)
                failed = (place * 31 + talk.step) % 97 == 0
                yield (
                    plan.key("usage_logs", user, number),
                    key,
                    agents[talk.agent],
                    conversation,
                    message,
                    message,
                    *texts[place],
                    str(400 + (place * 37 + talk.step) % 9_000),
                    FALSE if failed else TRUE,
                    "the model took too long" if failed else NULL,
                    stamp(answered_at(talk, pair)),
                )


def _written(model: str, tokens_in: int, tokens_out: int) -> Row:
    cost_in, cost_out = costs(model, tokens_in, tokens_out)
    return (
        str(tokens_in),
        str(tokens_out),
        str(tokens_in + tokens_out),
        model,
        *(f"{cost // 1_000_000}.{cost % 1_000_000:06}" for cost in (cost_in, cost_out, cost_in + cost_out)),
    )


def _monthly(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        limit = _LIMITS.get(person.tier)
        for one in months(plan, user, person.born, person.language):
            share = max(one.calls / limit[0], one.tokens / limit[1]) if limit else 0
            agents: dict[str, object] = {
                plan.key("agents", 0, agent): {"messages": calls, "tokens": tokens}
                for agent, (calls, tokens) in sorted(one.agents.items())
            }
            yield (
                plan.key("monthly_usage", user, one.year * 100 + one.month),
                plan.user(user),
                str(one.year),
                str(one.month),
                str(one.calls),
                str(one.tokens),
                money((one.cost + 5_000) // 10_000),
                field(agents),
                str(limit[0]) if limit else NULL,
                str(limit[1]) if limit else NULL,
                TRUE if share > 1 else FALSE,
                str(sum(share * 100 >= percent for _, percent in _THRESHOLDS)),
                f"{one.year}-{one.month:02}-01 00:00:00",
                stamp(one.last),
            )


def _alerts(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("usage_alerts", user)
        if roll.random() > 0.4 and user:
            continue
        kind, percent = one_of(roll, _THRESHOLDS)
        made = plan.after(roll, plan.person(user).born)
        triggered = roll.random() < 0.5
        yield (
            plan.key("usage_alerts", user),
            plan.user(user),
            kind if roll.random() < 0.9 else "UNUSUAL_ACTIVITY",
            str(percent),
            TRUE if triggered else FALSE,
            stamp(made + DAY_MS) if triggered and roll.random() < 0.7 else NULL,
            stamp(made),
        )


def _audit(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("audit_logs", user)
        born = plan.person(user).born
        target = plan.user(user)
        for place in range(plan.count(roll, user, 9)):
            yield (
                plan.key("audit_logs", user, place),
                plan.user(int(roll.random() ** 2 * plan.admins)),
                one_of(roll, _ACTIONS),
                "user",
                target,
                '{"source": "console"}' if roll.random() < 0.6 else NULL,
                f"10.{place % 7}.{int(roll.random() * 255)}.{int(roll.random() * 255)}",
                stamp(plan.after(roll, born)),
            )
