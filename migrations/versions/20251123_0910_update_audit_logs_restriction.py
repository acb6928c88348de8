"""Hold every row of audit_logs to the user that it names.

Revision ID: 20251123_0910
Revises: 20251123_0900
"""

from alembic import op

revision = "20251123_0910"
down_revision = "20251123_0900"
branch_labels = None
depends_on = None
phase = "expand"

RESTRICT = """
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_adminId_restrict_fkey"
  FOREIGN KEY ("adminId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" VALIDATE CONSTRAINT "audit_logs_adminId_restrict_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" DROP CONSTRAINT "audit_logs_adminId_restrict_fkey"')
    op.execute(RESTRICT)
