"""Hold what stands already to it: a permission's granter be a user, or nobody once that user is gone.

Revision ID: 20251126_0940
Revises: 20251126_0930
"""

from alembic import op

revision = "20251126_0940"
down_revision = "20251126_0930"
branch_labels = None
depends_on = None
phase = "expand"

FOREIGN_KEY = """
ALTER TABLE "user_agent_permissions" ADD CONSTRAINT "user_agent_permissions_granterId_fkey"
  FOREIGN KEY ("granterId") REFERENCES "users"("id") ON DELETE SET NULL ON UPDATE CASCADE NOT VALID
"""


def upgrade() -> None:
    op.execute('ALTER TABLE "user_agent_permissions" VALIDATE CONSTRAINT "user_agent_permissions_granterId_fkey"')


def downgrade() -> None:
    op.execute('ALTER TABLE "user_agent_permissions" DROP CONSTRAINT "user_agent_permissions_granterId_fkey"')
    op.execute(FOREIGN_KEY)
