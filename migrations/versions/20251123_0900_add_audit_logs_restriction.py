"""Prepare that a user's audit trail cannot be deleted with the user.

The foreign key that stands still deletes it: it goes in a later revision, after this one was held against every row.

Revision ID: 20251123_0900
Revises: 20251122_0950
"""

from alembic import op

revision = "20251123_0900"
down_revision = "20251122_0950"
branch_labels = None
depends_on = None
phase = "expand"

RESTRICT = """
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_adminId_restrict_fkey"
  FOREIGN KEY ("adminId") REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(RESTRICT)


def downgrade() -> None:
    op.execute('ALTER TABLE "audit_logs" DROP CONSTRAINT "audit_logs_adminId_restrict_fkey"')
