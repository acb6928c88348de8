"""Record each access of a service to users' health, and let nobody but the owner change what was recorded.

PostgreSQL has no trigger on SELECT; a policy is asked on every access. That of services calls a function, once a
statement, which writes to audit_logs who acted (`app.user_id`), as which role, on which table; a service that does not
say for whom it acts sees nothing. A read-only transaction is refused: what cannot be recorded is not shown.

audit_logs is only added to: every role but the owner loses UPDATE, DELETE and TRUNCATE. The owner keeps them, because
references are checked in its name; it is the way to maintain the log. The way back grants what the owner's default
privileges grant on new tables.

Revision ID: 20251120_0900
Revises: 20251119_0900
"""

from alembic import op

revision = "20251120_0900"
down_revision = "20251119_0900"
branch_labels = None
depends_on = None
phase = "expand"

RECORD_MEDICAL_ACCESS = """
CREATE FUNCTION record_medical_access(accessed text) RETURNS uuid LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  reader uuid := NULLIF(current_setting('app.user_id', true), '')::uuid;
BEGIN
  IF reader IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO audit_logs ("adminId", action, "targetType", details, "ipAddress")
  VALUES (reader, 'health.access', accessed,
          jsonb_build_object('role', current_user, 'application', current_setting('application_name')),
          inet_client_addr());
  RETURN '00000000-0000-0000-0000-000000000000';
END
$$
"""

LOWEST = "'00000000-0000-0000-0000-000000000000'::uuid"
SERVICE = """
"userId" BETWEEN (
  SELECT {lowest} FROM pg_catalog.pg_roles r
  WHERE r.rolname = 'pilotage_service' AND pg_has_role(current_user, r.oid, 'USAGE')
) AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
"""

MEDICAL = (
    "health_profiles",
    "medical_conditions",
    "medications",
    "medication_logs",
    "allergies",
    "medical_appointments",
    "health_measurements",
)

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
    op.execute(RECORD_MEDICAL_ACCESS)
    for table in MEDICAL:
        seen = SERVICE.format(lowest=f"record_medical_access('{table}')")
        op.execute(f'ALTER POLICY "{table}_service" ON "{table}" USING ({seen})')
    op.execute(ONLY_ADDED_TO)


def downgrade() -> None:
    op.execute(AS_NEW_TABLES_ARE)
    for table in MEDICAL:
        op.execute(f'ALTER POLICY "{table}_service" ON "{table}" USING ({SERVICE.format(lowest=LOWEST)})')
    op.execute("DROP FUNCTION record_medical_access(text)")
