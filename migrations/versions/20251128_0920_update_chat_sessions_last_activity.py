"""Let a new chat session begin with activity: it needs no "lastActivity".

Revision ID: 20251128_0920
Revises: 20251128_0910
"""

from alembic import op

revision = "20251128_0920"
down_revision = "20251128_0910"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute('ALTER TABLE "chat_sessions" ALTER COLUMN "lastActivity" SET DEFAULT CURRENT_TIMESTAMP')


def downgrade() -> None:
    op.execute('ALTER TABLE "chat_sessions" ALTER COLUMN "lastActivity" DROP DEFAULT')
