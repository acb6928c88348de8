"""Conversations and their messages; a conversation's count is kept with each message, in one transaction."""

from uuid import UUID

import audit
import database


def newest(limit: int) -> list[database.Row]:
    """The conversations that were last talked in."""
    return database.rows(
        """SELECT id, title, "messageCount", "tokenCount", "agentId", "updatedAt" FROM conversations
           ORDER BY "updatedAt" DESC LIMIT %s""",
        (limit,),
    )


def messages(conversation: UUID) -> list[database.Row]:
    """The messages of a conversation, newest first."""
    return database.rows(
        """SELECT id, role, content, "timestamp" FROM messages WHERE "conversationId" = %s
           ORDER BY "timestamp" DESC LIMIT 100""",
        (conversation,),
    )


def begin(user_email: str, agent_slug: str, title: str) -> UUID:
    """Begin a conversation of a user with an agent."""
    with database.writing() as connection:
        found = connection.execute(
            """SELECT u.id AS user_id, a.id AS agent_id FROM users u, agents a
               WHERE u.email = lower(%s) AND a.slug = %s AND a."isActive" """,
            (user_email, agent_slug),
        ).fetchone()
        if found is None:
            raise database.NotFound(f"there is no user {user_email} or no agent {agent_slug}")
        session = database.returned(
            connection,
            'INSERT INTO chat_sessions ("userId", "lastActivity") VALUES (%s, now()) RETURNING id',
            (found["user_id"],),
        )
        made = database.returned(
            connection,
            """INSERT INTO conversations ("chatSessionId", "agentId", title, "updatedAt") VALUES (%s, %s, %s, now())
               RETURNING id""",
            (session["id"], found["agent_id"], title),
        )
        connection.execute('UPDATE users SET "lastInteraction" = now() WHERE id = %s', (found["user_id"],))
        audit.record(connection, found["user_id"], "conversation.create", "conversation", made["id"])
        return made["id"]


def say(conversation: UUID, role: str, content: str) -> UUID:
    """Write a message."""
    with database.writing() as connection:
        found = connection.execute(
            """UPDATE conversations SET "messageCount" = "messageCount" + 1, "tokenCount" = "tokenCount" + %s,
                      "updatedAt" = now()
               WHERE id = %s RETURNING "chatSessionId" """,
            (len(content) // 4 + 1, conversation),
        ).fetchone()
        if found is None:
            raise database.NotFound(f"there is no conversation {conversation}")
        made = database.returned(
            connection,
            """INSERT INTO messages ("conversationId", role, content, "tokensInput") VALUES (%s, %s, %s, %s)
               RETURNING id""",
            (conversation, role, content, len(content) // 4 + 1),
        )
        user = database.returned(
            connection,
            'UPDATE chat_sessions SET "lastActivity" = now() WHERE id = %s RETURNING "userId"',
            (found["chatSessionId"],),
        )
        connection.execute(
            'UPDATE users SET "lastInteraction" = now(), "totalMessages" = "totalMessages" + 1 WHERE id = %s',
            (user["userId"],),
        )
        audit.message_said(user["userId"], made["id"])
        return made["id"]
