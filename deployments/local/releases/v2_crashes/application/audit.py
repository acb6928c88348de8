"""The trail: who did what, and to what kind of thing, messages too."""

from uuid import UUID

import database


def record(connection: database.Connection, user: UUID, action: str, target_type: str, target: UUID) -> None:
    """Write an action down, in the transaction that does it."""
    connection.execute(
        'INSERT INTO audit_logs ("adminId", action, "targetType", "targetId") VALUES (%s, %s, %s, %s)',
        (user, action, target_type, target),
    )


def message_said(user: UUID, message: UUID) -> None:
    """Write a message down on a connection of its own, so that a trail that fails does not take the message with it."""
    connection = database.pool().getconn()
    record(connection, user, "message.create", "message", message)
    connection.commit()
