"""An artifact's owner as a key of users, beside the text that says it so far.

A trigger keeps the two in step while applications write the one or the other. A text that names nobody stays alone.

Revision ID: 20251125_0900
Revises: 20251124_0930
"""

from alembic import op

revision = "20251125_0900"
down_revision = "20251124_0930"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"trigger-on-hot-table": "it looks for one key, and goes with the text"}

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
    op.execute('ALTER TABLE "artifacts" ADD COLUMN "ownerId" UUID')
    op.execute(SYNC)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute('DROP TRIGGER "artifacts_ownerId_sync" ON "artifacts"')
    op.execute("DROP FUNCTION sync_artifacts_owner()")
    op.execute('ALTER TABLE "artifacts" DROP COLUMN "ownerId"')
