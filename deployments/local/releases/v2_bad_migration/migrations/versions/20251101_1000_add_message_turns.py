"""Number the turns of a conversation, one message a role and turn.

Revision ID: 20251101_1000
Revises: 20250122_1030
"""

from alembic import op

revision = "20251101_1000"
down_revision = "20250122_1030"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute('ALTER TABLE "messages" ADD COLUMN "turn" INTEGER NOT NULL DEFAULT 1')
    op.execute(
        'CREATE UNIQUE INDEX "messages_conversationId_role_turn_key" ON "messages"("conversationId", "role", "turn")'
    )


def downgrade() -> None:
    op.execute('ALTER TABLE "messages" DROP COLUMN "turn"')
