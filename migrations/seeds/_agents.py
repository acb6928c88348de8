"""Agents, and what users say to them: a conversation's counts are those of its messages."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan, Talk

_AGENTS = (
    "id", "createdBy", "name", "slug", "description", "category", "model", "config", "endpointUrl", "systemPrompt",
    "isPublic", "isActive", "capabilities", "totalUses", "totalMessages", "averageRating", "createdAt", "updatedAt",
)  # fmt: skip
_CONVERSATIONS = (
    "id", "chatSessionId", "agentId", "title", "summary", "messageCount", "tokenCount", "createdAt", "updatedAt",
)  # fmt: skip
_MESSAGES = ("id", "conversationId", "role", "content", "tokensInput", "tokensOutput", "metadata", "timestamp")
_PERMISSIONS = ("id", "userId", "agentId", "granterId", "grantedBy", "grantedAt")
_ARTIFACTS = (
    "id", "agentId", "ownerId", "userId", "conversationId", "name", "type", "content", "version", "parentId",
    "metadata", "tags", "createdAt", "updatedAt",
)  # fmt: skip

_MODELS: Final = ("gemini-2.0-flash", "gpt-4o-mini", "claude-3-5-haiku", "gpt-4o")
_CATEGORIES: Final = ("productivity", "health", "finance", "education", "support")
_WORK: Final = ("Planner", "Tutor", "Analyst", "Assistant", "Coach")
_CLIENTS: Final = shared({"web": 60, "ios": 22, "android": 18})
_KINDS: Final = shared({"document": 45, "code": 40, "table": 15})


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    sessions = ("id", "userId", "startedAt", "lastActivity", "metadata")
    return (
        TableRows("agents", _AGENTS, partial(_agents, plan)),
        TableRows("chat_sessions", sessions, partial(_sessions, plan)),
        TableRows("conversations", _CONVERSATIONS, partial(_conversations, plan)),
        TableRows("messages", _MESSAGES, partial(_messages, plan)),
        TableRows("user_agent_permissions", _PERMISSIONS, partial(_permissions, plan)),
        TableRows("artifacts", _ARTIFACTS, partial(_artifacts, plan)),
    )


def model_of(agent: int) -> str:
    """The language model behind an agent."""
    return _MODELS[agent % len(_MODELS)]


def answered_at(talk: Talk, pair: int) -> int:
    """When a question of a conversation was answered."""
    return talk.began + pair * talk.step + 2_000 + (talk.place + pair) * 37 % 9_000


def _agents(plan: Plan) -> Iterator[Row]:
    uses: Counter[int] = Counter()
    calls: Counter[int] = Counter()
    for user in plan.everyone():
        for talk in plan.talks(user, plan.person(user).born):
            uses[talk.agent] += 1
            calls[talk.agent] += talk.pairs
    for agent in range(plan.agents):
        roll = plan.roll("agents", agent)
        category, work = _CATEGORIES[agent % len(_CATEGORIES)], one_of(roll, _WORK)
        slug = f"{category}-{work}-{plan.size}{plan.seed}-{agent}".lower()
        yield (
            plan.key("agents", 0, agent),
            plan.user(agent % plan.admins),
            f"{category.capitalize()} {work} {agent + 1}",
            slug,
            f"Helps with {category}",
            category,
            model_of(agent),
            field({"temperature": round(roll.random(), 2), "topP": 0.95}),
            f"/api/agents/{slug}",
            f"You help people with {category}. Answer in their language.",
            TRUE if roll.random() < 0.7 else FALSE,
            TRUE if roll.random() < 0.95 else FALSE,
            field([category, "memory"]),
            str(uses[agent]),
            str(2 * calls[agent]),
            f"{min(5.0, max(1.0, roll.gauss(4.2, 0.5))):.2f}",
            stamp(0),
            stamp(0),
        )


def _sessions(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("chat_sessions", user)
        last: Talk | None = None
        began = 0
        for talk in plan.talks(user, plan.person(user).born):
            if last is not None and talk.session != last.session:
                yield _session(plan, user, last, began, one_of(roll, _CLIENTS))
            if last is None or talk.session != last.session:
                began = talk.began
            last = talk
        if last is not None:
            yield _session(plan, user, last, began, one_of(roll, _CLIENTS))


def _session(plan: Plan, user: int, last: Talk, began: int, client: str) -> Row:
    return (
        plan.key("chat_sessions", user, last.session),
        plan.user(user),
        stamp(began),
        stamp(answered_at(last, last.pairs - 1)),
        f'{{"client": "{client}"}}',
    )


def _conversations(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        said = plan.dialogues[person.language]
        for talk in plan.talks(user, person.born):
            topic = said.topics[talk.place]
            yield (
                plan.key("conversations", user, talk.key),
                plan.key("chat_sessions", user, talk.session),
                plan.key("agents", 0, talk.agent),
                topic[0].upper() + topic[1:],
                said.answers[talk.place] if talk.pairs > 5 else NULL,
                str(2 * talk.pairs),
                str(said.tokens_before[talk.place + talk.pairs] - said.tokens_before[talk.place]),
                stamp(talk.began),
                stamp(answered_at(talk, talk.pairs - 1)),
            )


def _messages(plan: Plan) -> Iterator[Row]:
    metadata = [f'{{"model": "{model}"}}' for model in _MODELS]
    for user in plan.everyone():
        person = plan.person(user)
        said = plan.dialogues[person.language]
        for talk in plan.talks(user, person.born):
            conversation = plan.key("conversations", user, talk.key)
            model = metadata[talk.agent % len(_MODELS)]
            for pair in range(talk.pairs):
                place = talk.place + pair
                number = talk.key * 64 + 2 * pair
                asked = stamp(talk.began + pair * talk.step)
                yield (
                    plan.key("messages", user, number),
                    conversation,
                    "user",
                    said.questions[place],
                    str(said.tokens_in[place]),
                    NULL,
                    NULL,
                    asked,
                )
                yield (
                    plan.key("messages", user, number + 1),
                    conversation,
                    "assistant",
                    said.answers[place],
                    NULL,
                    str(said.tokens_out[place]),
                    model,
                    stamp(answered_at(talk, pair)),
                )


def _permissions(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("user_agent_permissions", user)
        born = plan.person(user).born
        for agent in sorted(roll.sample(range(plan.agents), k=1 + int(roll.random() * 3))):
            granter = plan.user(int(roll.random() * plan.admins)) if roll.random() < 0.8 else NULL
            yield (
                plan.key("user_agent_permissions", user, agent),
                plan.user(user),
                plan.key("agents", 0, agent),
                granter,
                granter,
                stamp(plan.after(roll, born)),
            )


def _artifacts(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        said = plan.dialogues[person.language]
        roll = plan.roll("artifacts", user)
        for talk in plan.talks(user, person.born):
            if roll.random() > 0.15:
                continue
            versions = 1 + (roll.random() < 0.3)
            kind = one_of(roll, _KINDS)
            for version in range(versions):
                moment = stamp(answered_at(talk, 0) + version * 600_000)
                yield (
                    plan.key("artifacts", user, talk.key * 4 + version),
                    plan.key("agents", 0, talk.agent),
                    plan.user(user),
                    plan.user(user),
                    plan.key("conversations", user, talk.key),
                    said.topics[talk.place],
                    kind,
                    said.answers[talk.place],
                    str(version + 1),
                    plan.key("artifacts", user, talk.key * 4 + version - 1) if version else NULL,
                    field({"language": person.language}),
                    field([kind, person.language]),
                    moment,
                    moment,
                )
