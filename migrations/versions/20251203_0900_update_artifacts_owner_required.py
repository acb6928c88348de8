"""Refuse artifacts without an owner, from now on.

An application that writes texts that name no user into "userId" fails from here on, and must be gone.

Revision ID: 20251203_0900
Revises: 20251202_0910
"""

from alembic import op

revision = "20251203_0900"
down_revision = "20251202_0910"
branch_labels = None
depends_on = None
phase = "contract"

NOT_NULL = 'ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_ownerId_check" CHECK ("ownerId" IS NOT NULL) NOT VALID'

CHECK = """
DO $$
DECLARE
  lost bigint;
BEGIN
  SELECT count(*) INTO lost FROM artifacts WHERE "ownerId" IS NULL;
  IF lost > 0 THEN
    RAISE EXCEPTION USING MESSAGE = lost
      || ' rows of artifacts have no owner: give each its user, or delete it. They are: '
      || 'SELECT id, "userId" FROM artifacts WHERE "ownerId" IS NULL';
  END IF;
END
$$
"""


def upgrade() -> None:
    op.execute(CHECK)
    op.execute(NOT_NULL)


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_ownerId_check"')
