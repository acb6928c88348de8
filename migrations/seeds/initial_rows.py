"""The rows that every development and staging database starts with: few, and the same everywhere.

A row that is there already stays, and one that a person has made in its place (a user of that address, an agent of that
slug) is taken for it.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from migrations.seeds._copy_format import Value, fields
from migrations.seeds._loading import Row, TableRows

SPACE: Final = uuid.UUID("6f2b7c0e-5f0e-5d8a-9f4b-2c1d8e7a9b30")
"""What the ids of seeded rows are made from."""

BORN: Final = "2025-01-22 10:30:00"
GIB: Final = 1024**3
MIB: Final = 1024**2

_USERS: Final = "SELECT lower(email), id::text FROM users WHERE lower(email) = ANY (%s)"
_AGENTS: Final = "SELECT slug, id::text FROM agents WHERE slug = ANY (%s)"
_ARTIFACT: Final = """import { useEffect, useState } from 'react';

export function Example() {
  const [count, setCount] = useState(0);

  useEffect(() => {
    document.title = `Count: ${count}`;
  }, [count]);

  return <button onClick={() => setCount(count + 1)}>Increment</button>;
}"""


@dataclass(frozen=True)
class SuperAdminIdentity:
    """The address and the name of the super admin.

    Attributes:
        email: the address.
        name: the name.
    """

    email: str = "super-admin@example.com"
    name: str = "Super Admin"


@dataclass(frozen=True)
class ExistingRows:
    """The ids of rows that exist already where seeded ones would go.

    Attributes:
        users: by address, in small letters.
        agents: by slug.
    """

    users: Mapping[str, str]
    agents: Mapping[str, str]


AGENTS: Final[tuple[dict[str, Value], ...]] = (
    {
        "slug": "coding-assistant",
        "name": "Coding Assistant",
        "description": "Expert in TypeScript, React, and Next.js",
        "category": "productivity",
        "systemPrompt": "You are an expert coding assistant...",
        "isPublic": True,
        "capabilities": ["code_generation", "debugging", "refactoring"],
    },
    {
        "slug": "health-advisor",
        "name": "Health Advisor",
        "description": "Personal health and wellness assistant",
        "category": "health",
        "systemPrompt": "You are a health and wellness advisor...",
        "isPublic": False,
        "capabilities": ["health_tracking", "medication_reminders"],
    },
    {
        "slug": "finance-planner",
        "name": "Finance Planner",
        "description": "Personal finance management assistant",
        "category": "finance",
        "systemPrompt": "You are a personal finance advisor...",
        "isPublic": False,
        "capabilities": ["budgeting", "investment_tracking", "expense_analysis"],
    },
)
_SLUGS: Final = tuple(str(agent["slug"]) for agent in AGENTS)


def named(what: str) -> str:
    """The id of a row that has a name of its own; the same in every database."""
    return str(uuid.uuid5(SPACE, what))


def existing_rows(connection: psycopg.Connection, super_admin: SuperAdminIdentity) -> ExistingRows:
    """Find users and agents that exist already: of a seeded address, or of a seeded slug.

    Locks: AccessShareLock on users and agents.
    """
    addresses = [str(user["email"]).lower() for user in _users(super_admin)]
    return ExistingRows(
        {str(email): str(key) for email, key in connection.execute(_USERS, (addresses,))},
        {str(slug): str(key) for slug, key in connection.execute(_AGENTS, (list(_SLUGS),))},
    )


def initial_data(super_admin: SuperAdminIdentity, existing: ExistingRows) -> tuple[TableRows, ...]:
    """The rows, parents first.

    Args:
        super_admin: the address and the name of the super admin.
        existing: rows that exist already where seeded ones would go.
    """
    users = [
        {"id": existing.users.get(str(user["email"]).lower(), named(key)), **user, **_STAMPS}
        for key, user in zip(_KEYS, _users(super_admin), strict=True)
    ]
    root, _, first, _ = (str(user["id"]) for user in users)
    agents = [_agent(agent, root, existing) for agent in AGENTS]
    coding = str(agents[0]["id"])
    conversation = named("conversation")
    return (
        _rows("users", users),
        _rows("agents", agents),
        _rows("chat_sessions", [_session(first)]),
        _rows("conversations", [_conversation(conversation, coding)]),
        _rows("messages", _messages(conversation)),
        _rows("artifacts", [_artifact(coding, first, conversation)]),
        _rows(
            "storage_quotas",
            [
                _quota("quota-super-admin", root, (10 * GIB, 100 * MIB, 10_000), "UNLIMITED"),
                _quota("quota-user1", first, (1 * GIB, 10 * MIB, 100), "FREE"),
            ],
        ),
    )


_KEYS: Final = ("super-admin", "admin", "user1", "user2")
_STAMPS: Final = {"createdAt": BORN, "updatedAt": BORN}


def _users(super_admin: SuperAdminIdentity) -> list[dict[str, Value]]:
    verified = {"emailVerified": BORN, "lastResetAt": BORN, "isActive": True}
    shown = [
        (super_admin.email, super_admin.name, "Root", "SUPER_ADMIN", "UNLIMITED"),
        ("admin@example.com", "Admin User", None, "ADMIN", "PRO"),
        ("user1@example.com", "User One", None, "USER", "FREE"),
        ("user2@example.com", "User Two", None, "SUBSCRIBER", "PRO"),
    ]
    return [
        {"email": email, "name": name, "displayName": called, "role": role, "subscriptionTier": tier, **verified}
        for email, name, called, role, tier in shown
    ]


def _agent(agent: Mapping[str, Value], creator: str, existing: ExistingRows) -> dict[str, Value]:
    slug = str(agent["slug"])
    return {
        "id": existing.agents.get(slug, named(f"agent-{slug}")),
        "createdBy": creator,
        **agent,
        "model": "gemini-2.0-flash",
        "endpointUrl": f"/api/agents/{slug}",
        "isActive": True,
        **_STAMPS,
    }


def _session(user: str) -> dict[str, Value]:
    return {
        "id": named("session"),
        "userId": user,
        "startedAt": BORN,
        "lastActivity": BORN,
        "metadata": {"source": "seed"},
    }


def _conversation(key: str, agent: str) -> dict[str, Value]:
    # The tokens of its two messages: what the trigger would count.
    counts: dict[str, Value] = {"messageCount": 2, "tokenCount": 8 + 50}
    return {
        "id": key,
        "chatSessionId": named("session"),
        "agentId": agent,
        "title": "Help with React hooks",
        **counts,
        **_STAMPS,
    }


def _messages(conversation: str) -> list[dict[str, Value]]:
    asked: dict[str, Value] = {
        "id": named("message-1"),
        "conversationId": conversation,
        "role": "user",
        "content": "How do I use useEffect correctly?",
        "tokensInput": 8,
        "tokensOutput": None,
        "timestamp": BORN,
    }
    answered: dict[str, Value] = {
        **asked,
        "id": named("message-2"),
        "role": "assistant",
        "content": "useEffect is used for side effects in React components...",
        "tokensInput": None,
        "tokensOutput": 50,
        "timestamp": "2025-01-22 10:30:04",
    }
    return [asked, answered]


def _artifact(agent: str, owner: str, conversation: str) -> dict[str, Value]:
    # The owner's column was "userId" first.
    return {
        "id": named("artifact"),
        "agentId": agent,
        "userId": owner,
        "ownerId": owner,
        "conversationId": conversation,
        "name": "useEffect Example",
        "type": "code",
        "content": _ARTIFACT,
        "metadata": {"language": "typescript"},
        **_STAMPS,
    }


def _quota(key: str, user: str, limits: tuple[int, int, int], tier: str) -> dict[str, Value]:
    storage, file_size, files = limits
    return {
        "id": named(key),
        "userId": user,
        "maxStorage": storage,
        "maxFileSize": file_size,
        "maxFiles": files,
        "subscriptionTier": tier,
        **_STAMPS,
    }


def _rows(table: str, rows: Sequence[Mapping[str, Value]]) -> TableRows:
    columns = tuple(rows[0])
    made: list[Row] = [fields(row[column] for column in columns) for row in rows]
    return TableRows(table, columns, lambda: made)
