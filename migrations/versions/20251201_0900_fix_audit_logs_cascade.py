"""Keep a user's audit trail: who has some is deactivated, not deleted.

An application that deletes such users fails from here on, and must be gone.

Revision ID: 20251201_0900
Revises: 20251129_0900
"""

from alembic import op

revision = "20251201_0900"
down_revision = "20251129_0900"
branch_labels = None
depends_on = None
phase = "contract"

CASCADE = """
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_adminId_fkey"
  FOREIGN KEY ("adminId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" DROP CONSTRAINT "audit_logs_adminId_fkey"')
    op.execute(
        'ALTER TABLE "audit_logs" RENAME CONSTRAINT "audit_logs_adminId_restrict_fkey" TO "audit_logs_adminId_fkey"'
    )


def downgrade() -> None:
    op.execute(
        'ALTER TABLE "audit_logs" RENAME CONSTRAINT "audit_logs_adminId_fkey" TO "audit_logs_adminId_restrict_fkey"'
    )
    op.execute(CASCADE)
