"""The trail: who did what."""

from uuid import UUID

import database


def record(connection: database.Connection, user: UUID, action: str, _target_type: str, target: UUID) -> None:
    """Write an action down, in the transaction that does it. What kind of thing it was done to has no column yet."""
    connection.execute(
        'INSERT INTO audit_logs ("adminId", action, "targetId") VALUES (%s, %s, %s)', (user, action, target)
    )


def message_said(user: UUID, message: UUID) -> None:
    """Messages are not part of the trail."""
