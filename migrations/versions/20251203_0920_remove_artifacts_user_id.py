"""Drop the text that named an artifact's owner.

The way back writes it again from the owner.

Revision ID: 20251203_0920
Revises: 20251203_0910
"""

from alembic import op

revision = "20251203_0920"
down_revision = "20251203_0910"
branch_labels = None
depends_on = None
phase = "contract"

SYNC = """
CREATE FUNCTION sync_artifacts_owner() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW."ownerId" IS NOT NULL THEN
    NEW."userId" := NEW."ownerId"::text;
  ELSIF TG_OP = 'UPDATE' AND NEW."ownerId" IS DISTINCT FROM OLD."ownerId" THEN
    NEW."userId" := NEW."ownerId"::text;
  ELSIF TG_OP = 'INSERT' OR NEW."userId" IS DISTINCT FROM OLD."userId" THEN
    NEW."ownerId" := (
      SELECT id FROM users
      WHERE id = CASE
        WHEN NEW."userId" ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN NEW."userId"::uuid
      END
    );
  END IF;
  RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER "artifacts_ownerId_sync" BEFORE INSERT OR UPDATE OF "userId", "ownerId"
  ON "artifacts" FOR EACH ROW EXECUTE FUNCTION sync_artifacts_owner()
"""


def upgrade() -> None:
    # The validated constraint spares SET NOT NULL its scan.
    op.execute('ALTER TABLE "artifacts" ALTER COLUMN "ownerId" SET NOT NULL')
    op.execute('ALTER TABLE "artifacts" DROP CONSTRAINT "artifacts_ownerId_check"')
    op.execute('DROP TRIGGER "artifacts_ownerId_sync" ON "artifacts"')
    op.execute("DROP FUNCTION sync_artifacts_owner()")
    op.execute('ALTER TABLE "artifacts" DROP COLUMN "userId"')


def downgrade() -> None:
    op.execute('ALTER TABLE "artifacts" ADD COLUMN "userId" VARCHAR(255)')
    # To write a text again is no change of the artifact.
    op.execute('ALTER TABLE "artifacts" DISABLE TRIGGER "artifacts_updatedAt_touch"')
    op.execute('UPDATE "artifacts" SET "userId" = "ownerId"::text')
    op.execute('ALTER TABLE "artifacts" ENABLE TRIGGER "artifacts_updatedAt_touch"')
    op.execute('ALTER TABLE "artifacts" ALTER COLUMN "userId" SET NOT NULL')
    op.execute('CREATE INDEX "artifacts_userId_idx" ON "artifacts"("userId")')
    op.execute(SYNC)
    op.execute(TRIGGER)
    op.execute('ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_ownerId_check" CHECK ("ownerId" IS NOT NULL)')
    op.execute('ALTER TABLE "artifacts" ALTER COLUMN "ownerId" DROP NOT NULL')
