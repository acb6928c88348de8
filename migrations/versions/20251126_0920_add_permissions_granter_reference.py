"""Let a permission's granter be a user, or nobody once that user is gone, from now on.

Revision ID: 20251126_0920
Revises: 20251126_0910
"""

from alembic import op

revision = "20251126_0920"
down_revision = "20251126_0910"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "user_agent_permissions" ADD CONSTRAINT "user_agent_permissions_granterId_fkey"
  FOREIGN KEY ("granterId") REFERENCES "users"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute(FOREIGN_KEY)


def downgrade() -> None:
    op.execute('ALTER TABLE "user_agent_permissions" DROP CONSTRAINT "user_agent_permissions_granterId_fkey"')
