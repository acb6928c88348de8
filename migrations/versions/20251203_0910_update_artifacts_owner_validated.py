"""Look that every artifact has an owner, so that the column can say so without a scan.

Revision ID: 20251203_0910
Revises: 20251203_0900
"""

from alembic import op

revision = "20251203_0910"
down_revision = "20251203_0900"
branch_labels = None
depends_on = None
phase = "contract"

NOT_NULL = 'ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_ownerId_check" CHECK ("ownerId" IS NOT NULL) NOT VALID'


def upgrade() -> None:
    op.execute('ALTER TABLE "artifacts" VALIDATE CONSTRAINT "artifacts_ownerId_check"')


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_ownerId_check"')
    op.execute(NOT_NULL)
