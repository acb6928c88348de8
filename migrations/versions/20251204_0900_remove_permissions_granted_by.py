"""Drop the text that named who granted a permission.

The way back writes it again from the key; names of users who are gone were lost before.

Revision ID: 20251204_0900
Revises: 20251203_0920
"""

from alembic import op

revision = "20251204_0900"
down_revision = "20251203_0920"
branch_labels = None
depends_on = None
phase = "contract"

SYNC = """
CREATE FUNCTION sync_permissions_granter() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW."granterId" IS NOT NULL THEN
    NEW."grantedBy" := NEW."granterId"::text;
  ELSIF TG_OP = 'UPDATE' AND NEW."granterId" IS DISTINCT FROM OLD."granterId" THEN
    NEW."grantedBy" := NEW."granterId"::text;
  ELSIF TG_OP = 'INSERT' OR NEW."grantedBy" IS DISTINCT FROM OLD."grantedBy" THEN
    NEW."granterId" := (
      SELECT id FROM users
      WHERE id = CASE
        WHEN NEW."grantedBy" ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN NEW."grantedBy"::uuid
      END
    );
  END IF;
  RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER "user_agent_permissions_granterId_sync" BEFORE INSERT OR UPDATE OF "grantedBy", "granterId"
  ON "user_agent_permissions" FOR EACH ROW EXECUTE FUNCTION sync_permissions_granter()
"""


def upgrade() -> None:
    op.execute('DROP TRIGGER "user_agent_permissions_granterId_sync" ON "user_agent_permissions"')
    op.execute("DROP FUNCTION sync_permissions_granter()")
    op.execute('ALTER TABLE "user_agent_permissions" DROP COLUMN "grantedBy"')


def downgrade() -> None:
    op.execute('ALTER TABLE "user_agent_permissions" ADD COLUMN "grantedBy" VARCHAR(255)')
    op.execute('UPDATE "user_agent_permissions" SET "grantedBy" = "granterId"::text WHERE "granterId" IS NOT NULL')
    op.execute(SYNC)
    op.execute(TRIGGER)
