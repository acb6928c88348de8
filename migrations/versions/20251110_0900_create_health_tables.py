"""Users' health, for their own eyes: profiles, conditions, medications, allergies, appointments and measurements.

What a row says of somebody's health is ciphertext. Row-level security is enabled and forced in the same transaction, so
that no row was ever unprotected: a user's rows are seen by who says with `app.user_id` that it acts for the user, by
the owner of the tables, and by members of the role pilotage_service where there is one.

PostgreSQL has no trigger on SELECT, but a policy is asked on every access. That of services calls a function, once a
statement, which writes to audit_logs who acted (`app.user_id`), as which role, on which table; a service that does not
say for whom it acts sees nothing. A read-only transaction is refused: what cannot be recorded is not shown.

Revision ID: 20251110_0900
Revises: 20251108_0900
"""

from alembic import op

revision = "20251110_0900"
down_revision = "20251108_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"timestamp-without-zone": "every time that the application keeps is of UTC"}

ENUMS = (
    """
    CREATE TYPE "MeasurementType" AS ENUM (
      'WEIGHT', 'BLOOD_PRESSURE', 'HEART_RATE', 'BLOOD_GLUCOSE', 'TEMPERATURE', 'OXYGEN_SATURATION', 'SLEEP', 'STEPS'
    )
    """,
)

TABLES = (
    """
    CREATE TABLE "health_profiles" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "bloodType" TEXT,
      "heightCm" TEXT,
      "emergencyContact" TEXT,
      "insuranceProvider" TEXT,
      "policyNumber" TEXT,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "health_profiles_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "health_profiles_bloodType_check" CHECK ("bloodType" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_profiles_heightCm_check" CHECK ("heightCm" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_profiles_emergencyContact_check"
        CHECK ("emergencyContact" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_profiles_insuranceProvider_check"
        CHECK ("insuranceProvider" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_profiles_policyNumber_check"
        CHECK ("policyNumber" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_profiles_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$')
    )
    """,
    """
    CREATE TABLE "medical_conditions" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "name" TEXT NOT NULL,
      "code" TEXT,
      "status" VARCHAR(20) NOT NULL DEFAULT 'ACTIVE',
      "severity" VARCHAR(20),
      "diagnosedOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "resolvedOn" DATE,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "medical_conditions_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "medical_conditions_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "medical_conditions_name_check" CHECK ("name" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_conditions_code_check" CHECK ("code" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_conditions_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_conditions_status_check"
        CHECK ("status"::text IN ('ACTIVE', 'CHRONIC', 'IN_REMISSION', 'RESOLVED')),
      CONSTRAINT "medical_conditions_severity_check" CHECK ("severity"::text IN ('MILD', 'MODERATE', 'SEVERE')),
      CONSTRAINT "medical_conditions_resolved_check" CHECK (("status" = 'RESOLVED') = ("resolvedOn" IS NOT NULL)),
      CONSTRAINT "medical_conditions_resolvedOn_check" CHECK ("resolvedOn" >= "diagnosedOn")
    )
    """,
    """
    CREATE TABLE "medications" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "conditionId" UUID,
      "name" TEXT NOT NULL,
      "dosage" TEXT NOT NULL,
      "dosesPerDay" NUMERIC(5,2),
      "prescribedBy" TEXT,
      "startsOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "endsOn" DATE,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "medications_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "medications_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "medications_name_check" CHECK ("name" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medications_dosage_check" CHECK ("dosage" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medications_prescribedBy_check" CHECK ("prescribedBy" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medications_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medications_dosesPerDay_check" CHECK ("dosesPerDay" > 0),
      CONSTRAINT "medications_endsOn_check" CHECK ("endsOn" >= "startsOn"),
      CONSTRAINT "medications_conditionId_fkey"
        FOREIGN KEY ("userId", "conditionId")
        REFERENCES "medical_conditions" ("userId", "id") ON DELETE SET NULL ("conditionId") ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "medication_logs" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "medicationId" UUID NOT NULL,
      "scheduledFor" TIMESTAMP(3) NOT NULL,
      "status" VARCHAR(20) NOT NULL DEFAULT 'PENDING',
      "takenAt" TIMESTAMP(3),
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "medication_logs_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "medication_logs_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medication_logs_status_check" CHECK ("status"::text IN ('PENDING', 'TAKEN', 'SKIPPED', 'MISSED')),
      CONSTRAINT "medication_logs_takenAt_check" CHECK (("status" = 'TAKEN') = ("takenAt" IS NOT NULL)),
      CONSTRAINT "medication_logs_medicationId_fkey"
        FOREIGN KEY ("userId", "medicationId")
        REFERENCES "medications" ("userId", "id") ON DELETE CASCADE ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "allergies" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "allergen" TEXT NOT NULL,
      "category" VARCHAR(20) NOT NULL,
      "severity" VARCHAR(20) NOT NULL,
      "reaction" TEXT,
      "firstSeenOn" DATE,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "allergies_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "allergies_allergen_check" CHECK ("allergen" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "allergies_reaction_check" CHECK ("reaction" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "allergies_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "allergies_category_check" CHECK ("category"::text IN ('MEDICATION', 'FOOD', 'ENVIRONMENT', 'OTHER')),
      CONSTRAINT "allergies_severity_check"
        CHECK ("severity"::text IN ('MILD', 'MODERATE', 'SEVERE', 'LIFE_THREATENING'))
    )
    """,
    """
    CREATE TABLE "medical_appointments" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "conditionId" UUID,
      "scheduledAt" TIMESTAMP(3) NOT NULL,
      "durationMinutes" SMALLINT NOT NULL DEFAULT 30,
      "status" VARCHAR(20) NOT NULL DEFAULT 'SCHEDULED',
      "provider" TEXT NOT NULL,
      "specialty" TEXT,
      "location" TEXT,
      "reason" TEXT,
      "notes" TEXT,
      "remindAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "medical_appointments_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "medical_appointments_provider_check" CHECK ("provider" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_appointments_specialty_check"
        CHECK ("specialty" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_appointments_location_check" CHECK ("location" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_appointments_reason_check" CHECK ("reason" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_appointments_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "medical_appointments_status_check"
        CHECK ("status"::text IN ('SCHEDULED', 'CONFIRMED', 'COMPLETED', 'CANCELLED', 'NO_SHOW')),
      CONSTRAINT "medical_appointments_durationMinutes_check" CHECK ("durationMinutes" BETWEEN 1 AND 1440),
      CONSTRAINT "medical_appointments_remindAt_check" CHECK ("remindAt" <= "scheduledAt"),
      CONSTRAINT "medical_appointments_conditionId_fkey"
        FOREIGN KEY ("userId", "conditionId")
        REFERENCES "medical_conditions" ("userId", "id") ON DELETE SET NULL ("conditionId") ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "health_measurements" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "type" "MeasurementType" NOT NULL,
      "value" TEXT NOT NULL,
      "measuredAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "source" VARCHAR(20) NOT NULL DEFAULT 'MANUAL',
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "health_measurements_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "health_measurements_value_check" CHECK ("value" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_measurements_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "health_measurements_source_check" CHECK ("source"::text IN ('MANUAL', 'DEVICE', 'IMPORT'))
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "health_profiles" ADD CONSTRAINT "health_profiles_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "medical_conditions" ADD CONSTRAINT "medical_conditions_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "medications" ADD CONSTRAINT "medications_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "medication_logs" ADD CONSTRAINT "medication_logs_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "allergies" ADD CONSTRAINT "allergies_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "medical_appointments" ADD CONSTRAINT "medical_appointments_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "health_measurements" ADD CONSTRAINT "health_measurements_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE UNIQUE INDEX "health_profiles_userId_key" ON "health_profiles" ("userId")',
    """
    CREATE INDEX "medical_conditions_active_idx"
      ON "medical_conditions" ("userId", "severity") WHERE status::text IN ('ACTIVE', 'CHRONIC')
    """,
    'CREATE INDEX "medical_conditions_userId_diagnosedOn_idx" ON "medical_conditions" ("userId", "diagnosedOn" DESC)',
    'CREATE INDEX "medications_active_idx" ON "medications" ("userId", "endsOn") WHERE "isActive"',
    'CREATE INDEX "medications_userId_conditionId_idx" ON "medications" ("userId", "conditionId")',
    'CREATE INDEX "medications_userId_startsOn_idx" ON "medications" ("userId", "startsOn" DESC)',
    """CREATE INDEX "medication_logs_pending_idx" ON "medication_logs" ("scheduledFor") WHERE status = 'PENDING'""",
    """
    CREATE UNIQUE INDEX "medication_logs_userId_medicationId_scheduledFor_key"
      ON "medication_logs" ("userId", "medicationId", "scheduledFor" DESC)
    """,
    'CREATE INDEX "medication_logs_userId_scheduledFor_idx" ON "medication_logs" ("userId", "scheduledFor" DESC)',
    'CREATE INDEX "allergies_active_idx" ON "allergies" ("userId", "category") WHERE "isActive"',
    'CREATE INDEX "allergies_userId_firstSeenOn_idx" ON "allergies" ("userId", "firstSeenOn" DESC)',
    """
    CREATE INDEX "medical_appointments_remindAt_idx"
      ON "medical_appointments" ("remindAt") WHERE status::text IN ('SCHEDULED', 'CONFIRMED')
    """,
    'CREATE INDEX "medical_appointments_userId_conditionId_idx" ON "medical_appointments" ("userId", "conditionId")',
    """
    CREATE INDEX "medical_appointments_userId_scheduledAt_idx"
      ON "medical_appointments" ("userId", "scheduledAt" DESC)
    """,
    'CREATE INDEX "health_measurements_userId_measuredAt_idx" ON "health_measurements" ("userId", "measuredAt" DESC)',
    """
    CREATE INDEX "health_measurements_userId_type_measuredAt_idx"
      ON "health_measurements" ("userId", "type", "measuredAt" DESC)
    """,
)

COMMENTS = (
    """COMMENT ON TABLE "health_profiles" IS 'What a physician asks first, one row a user.'""",
    """COMMENT ON COLUMN "health_profiles"."bloodType" IS 'Encrypted; O+, AB- …'""",
    """COMMENT ON COLUMN "health_profiles"."heightCm" IS 'Encrypted; centimetres.'""",
    """COMMENT ON COLUMN "health_profiles"."emergencyContact" IS 'Encrypted; whom to call, and how.'""",
    """COMMENT ON COLUMN "health_profiles"."insuranceProvider" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "health_profiles"."policyNumber" IS 'Encrypted; the insurance''s number, shown masked.'""",
    """COMMENT ON COLUMN "health_profiles"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "medical_conditions" IS 'What users have, or had.'""",
    """COMMENT ON COLUMN "medical_conditions"."name" IS 'Encrypted.'""",
    """
    COMMENT ON COLUMN "medical_conditions"."code" IS
      'Encrypted; its code in ICD-10, where a physician gave one.'
    """,
    """COMMENT ON COLUMN "medical_conditions"."resolvedOn" IS 'When it was over.'""",
    """COMMENT ON COLUMN "medical_conditions"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "medications" IS 'What users take, or took.'""",
    """COMMENT ON COLUMN "medications"."conditionId" IS 'What it is taken against.'""",
    """COMMENT ON COLUMN "medications"."name" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "medications"."dosage" IS 'Encrypted; how much at a time.'""",
    """
    COMMENT ON COLUMN "medications"."dosesPerDay" IS
      'How often a day, below 1 where not daily; none where taken as needed.'
    """,
    """COMMENT ON COLUMN "medications"."prescribedBy" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "medications"."endsOn" IS 'The last day; none where it is taken for good.'""",
    """COMMENT ON COLUMN "medications"."isActive" IS 'Whether it is taken now.'""",
    """COMMENT ON COLUMN "medications"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "medication_logs" IS 'Doses that were due, and what became of them.'""",
    """COMMENT ON COLUMN "medication_logs"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "allergies" IS 'What users do not bear.'""",
    """COMMENT ON COLUMN "allergies"."allergen" IS 'Encrypted; what it is against.'""",
    """COMMENT ON COLUMN "allergies"."reaction" IS 'Encrypted; what it does.'""",
    """COMMENT ON COLUMN "allergies"."isActive" IS 'False once it was outgrown, or shown to be none.'""",
    """COMMENT ON COLUMN "allergies"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "medical_appointments" IS 'Visits to physicians, and what for.'""",
    """COMMENT ON COLUMN "medical_appointments"."conditionId" IS 'What it is about, where that is known.'""",
    """COMMENT ON COLUMN "medical_appointments"."provider" IS 'Encrypted; whom the user sees.'""",
    """COMMENT ON COLUMN "medical_appointments"."specialty" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "medical_appointments"."location" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "medical_appointments"."reason" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "medical_appointments"."notes" IS 'Encrypted; what was said there, too.'""",
    """COMMENT ON COLUMN "medical_appointments"."remindAt" IS 'When the user wants to be reminded.'""",
    """COMMENT ON TABLE "health_measurements" IS 'What was measured of users.'""",
    """
    COMMENT ON COLUMN "health_measurements"."value" IS
      'Encrypted; by type in kg, mmHg as 120/80, beats a minute, mg/dl, °C, %, hours, or a count.'
    """,
    """
    COMMENT ON COLUMN "health_measurements"."source" IS
      'Whether a person typed it, a device sent it, or a file.'
    """,
    """COMMENT ON COLUMN "health_measurements"."notes" IS 'Encrypted.'""",
)

CREATED_TABLES = (
    "health_profiles",
    "medical_conditions",
    "medications",
    "medication_logs",
    "allergies",
    "medical_appointments",
    "health_measurements",
)
CREATED_TYPES = ("MeasurementType",)

RECORD_MEDICAL_ACCESS = """
CREATE FUNCTION record_medical_access(accessed text) RETURNS uuid LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
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

# A policy is a range of "userId" whose bounds are looked up once a query, so that the index on "userId" serves it.
LOWEST = "'00000000-0000-0000-0000-000000000000'::uuid"
HIGHEST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
OF_THE_OWNER = """
FROM pg_catalog.pg_class c WHERE c.oid = '"{table}"'::regclass AND pg_has_role(current_user, c.relowner, 'MEMBER')
"""
OF_A_SERVICE = """
FROM pg_catalog.pg_roles r WHERE r.rolname = 'pilotage_service' AND pg_has_role(current_user, r.oid, 'USAGE')
"""
APPLICATION = """"userId" = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid)"""
SERVICE = f'"userId" BETWEEN (SELECT {LOWEST} {OF_A_SERVICE.strip()}) AND {HIGHEST}'
RECORDED = SERVICE.replace(LOWEST, "record_medical_access('{table}')")


def upgrade() -> None:
    op.execute(RECORD_MEDICAL_ACCESS)
    for statement in (*ENUMS, *TABLES, *INDEXES, *COMMENTS):
        op.execute(statement)
    for table in CREATED_TABLES:
        op.execute(
            f'CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
        )
        protect(table)
    for statement in REFERENCES:
        op.execute(statement)


def protect(table: str) -> None:
    owner = f'"userId" BETWEEN (SELECT {LOWEST} {OF_THE_OWNER.format(table=table).strip()}) AND {HIGHEST}'
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    for name, rows in (("owner", owner), ("application", APPLICATION)):
        op.execute(f'CREATE POLICY "{table}_{name}" ON "{table}" USING ({rows}) WITH CHECK ({rows})')
    seen = RECORDED.format(table=table)
    op.execute(f'CREATE POLICY "{table}_service" ON "{table}" USING ({seen}) WITH CHECK ({SERVICE})')


def downgrade() -> None:
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
    op.execute("DROP FUNCTION record_medical_access(text)")
