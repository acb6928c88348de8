"""What agents may search: a user's settings, and the documents that were read."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from migrations.seeds._copy_format import FALSE, NULL, TRUE, field
from migrations.seeds._distributions import one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds._storage import files
from migrations.seeds.plan import Plan

_SETTINGS = ("id", "userId", "isEnabled", "chunkTokens", "overlapTokens", "topK", "minScore", "createdAt", "updatedAt")
_DOCUMENTS = (
    "id", "userId", "agentId", "fileId", "title", "summary", "sourceType", "sourceUrl", "contentHash", "language",
    "tokenCount", "namespace", "vectorIds", "tags", "status", "error", "indexedAt", "createdAt", "updatedAt",
)  # fmt: skip
_STATES: Final = shared({"COMPLETED": 90, "FAILED": 4, "PENDING": 4, "RUNNING": 2})
_SOURCES: Final = shared({"FILE": 60, "URL": 20, "NOTE": 15, "INTEGRATION": 5})
_CHUNK_TOKENS: Final = 800


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("rag_settings", _SETTINGS, partial(_settings, plan)),
        TableRows("rag_documents", _DOCUMENTS, partial(_documents, plan)),
    )


def _settings(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        roll = plan.roll("rag_settings", user)
        if roll.random() > 0.25 and user:
            continue
        born = stamp(plan.person(user).born)
        yield (
            plan.key("rag_settings", user),
            plan.user(user),
            TRUE if roll.random() < 0.95 else FALSE,
            str(one_of(roll, (400, 800, 800, 1_200))),
            "100",
            str(one_of(roll, (3, 5, 5, 8))),
            f"{0.6 + roll.random() * 0.2:.3f}",
            born,
            born,
        )


def _documents(plan: Plan) -> Iterator[Row]:
    for user in plan.everyone():
        person = plan.person(user)
        roll = plan.roll("rag_documents", user)
        said = plan.dialogues[person.language]
        own = [one.place for one in files(plan, user, person.born)]
        for place in range(plan.count(roll, user, 1.3)):
            moment = plan.after(roll, person.born)
            state, source = one_of(roll, _STATES), one_of(roll, _SOURCES)
            text = roll.randrange(len(said.answers))
            tokens = 200 + int(roll.expovariate(1 / 3_000))
            parts = 1 + tokens // _CHUNK_TOKENS if state == "COMPLETED" else 0
            key = plan.key("rag_documents", user, place)
            yield (
                key,
                plan.user(user),
                plan.key("agents", 0, roll.randrange(plan.agents)) if roll.random() < 0.3 else NULL,
                plan.key("storage_files", user, one_of(roll, own)) if source == "FILE" and own else NULL,
                said.topics[text].capitalize(),
                said.answers[text] if state == "COMPLETED" else NULL,
                source,
                f"https://docs.example.com/{user}/{place}" if source == "URL" else NULL,
                f"{roll.getrandbits(256):064x}",
                person.language,
                str(tokens),
                "default",
                field([f"{key}#{part}" for part in range(parts)]),
                field([person.language]),
                state,
                "the source could not be read" if state == "FAILED" else NULL,
                stamp(moment + 90_000) if state == "COMPLETED" else NULL,
                stamp(moment),
                stamp(moment + 90_000),
            )
