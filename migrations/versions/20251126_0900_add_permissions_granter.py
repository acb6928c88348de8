"""Who granted a permission as a key of users, beside the text that says it so far.

A trigger keeps the two in step while applications write the one or the other. A text that names nobody stays alone.

Revision ID: 20251126_0900
Revises: 20251125_0940
"""

from alembic import op

revision = "20251126_0900"
down_revision = "20251125_0940"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"trigger-on-hot-table": "it looks for one key, and goes with the text"}

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
    op.execute('ALTER TABLE "user_agent_permissions" ADD COLUMN "granterId" UUID')
    op.execute(SYNC)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute('DROP TRIGGER "user_agent_permissions_granterId_sync" ON "user_agent_permissions"')
    op.execute("DROP FUNCTION sync_permissions_granter()")
    op.execute('ALTER TABLE "user_agent_permissions" DROP COLUMN "granterId"')
