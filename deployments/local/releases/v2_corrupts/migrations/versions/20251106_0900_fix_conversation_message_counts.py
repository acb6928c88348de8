"""Count the messages of every conversation again.

There is no way back: the counts before are not kept.

Revision ID: 20251106_0900
Revises: 20251101_0900
"""

from alembic import op

revision = "20251106_0900"
down_revision = "20251101_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"downgrade-missing": "the counts before are not kept; the restore point has them"}


def upgrade() -> None:
    op.execute(
        """
        UPDATE "conversations" c SET "messageCount" = counted.messages
        FROM (
          SELECT o."agentId", count(*) AS messages
          FROM "messages" m JOIN "conversations" o ON o."id" = m."conversationId"
          GROUP BY o."agentId"
        ) counted
        WHERE counted."agentId" = c."agentId"
        """
    )


def downgrade() -> None:
    raise RuntimeError("the counts before were not kept: restore the database instead")
