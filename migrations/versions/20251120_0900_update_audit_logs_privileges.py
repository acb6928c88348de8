"""Let audit_logs only grow: every role but the owner loses UPDATE, DELETE and TRUNCATE on it.

The owner keeps them, because references are checked in its name; it is the way to maintain the log. The way back grants
what the owner's default privileges grant on new tables.

Revision ID: 20251120_0900
Revises: 20251119_0900
"""

from alembic import op

revision = "20251120_0900"
down_revision = "20251119_0900"
branch_labels = None
depends_on = None
phase = "expand"

ONLY_ADDED_TO = """
DO $$
DECLARE
  grantee text;
BEGIN
  FOR grantee IN
    SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
    WHERE c.oid = 'audit_logs'::regclass AND g.grantee <> c.relowner
      AND g.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')
  LOOP
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_logs FROM %s', grantee);
  END LOOP;
END
$$
"""
AS_NEW_TABLES_ARE = """
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT g.privilege_type AS privilege, g.is_grantable,
           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
    FROM pg_class c
    JOIN pg_default_acl d ON d.defaclrole = c.relowner AND d.defaclnamespace IN (0, c.relnamespace)
                         AND d.defaclobjtype = 'r'
    CROSS JOIN LATERAL aclexplode(d.defaclacl) g
    WHERE c.oid = 'audit_logs'::regclass AND g.grantee <> c.relowner
      AND g.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')
  LOOP
    EXECUTE format('GRANT %s ON audit_logs TO %s', given.privilege, given.grantee)
            || CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
  END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute(ONLY_ADDED_TO)


def downgrade() -> None:
    op.execute(AS_NEW_TABLES_ARE)
