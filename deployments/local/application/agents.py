"""Users and the agents that they make."""

from uuid import UUID

import audit
import database


def every() -> list[database.Row]:
    """The agents that can be talked to."""
    return database.rows(
        """SELECT id, slug, name, category, model, "isPublic", "totalUses" FROM agents
           WHERE "isActive" ORDER BY slug LIMIT 100""",
        (),
    )


def sign_up(email: str, name: str) -> UUID:
    """Make a user, or change the name of the one who is there."""
    with database.writing() as connection:
        found = database.returned(
            connection,
            """INSERT INTO users (email, name, "updatedAt", "lastInteraction") VALUES (lower(%s), %s, now(), now())
               ON CONFLICT (email) DO UPDATE SET name = excluded.name, "updatedAt" = now(), "lastInteraction" = now()
               RETURNING id""",
            (email, name),
        )
        return found["id"]


def create(slug: str, name: str, user_email: str) -> UUID:
    """Make an agent, or find the one of that slug."""
    with database.writing() as connection:
        maker = connection.execute("SELECT id FROM users WHERE email = lower(%s)", (user_email,)).fetchone()
        if maker is None:
            raise database.NotFound(f"there is no user {user_email}")
        made = database.returned(
            connection,
            """INSERT INTO agents ("createdBy", name, slug, category, model, "endpointUrl", "isPublic", "updatedAt")
               VALUES (%s, %s, %s, 'productivity', 'gemini-2.0-flash', '/api/agents/' || %s, true, now())
               ON CONFLICT (slug) DO UPDATE SET "updatedAt" = now() RETURNING id""",
            (maker["id"], name, slug, slug),
        )
        audit.record(connection, maker["id"], "agent.create", "agent", made["id"])
        return made["id"]
