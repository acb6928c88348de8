"""Other services that agents work with for a user, and each time that something was fetched from them.

Revision ID: 20251119_0900
Revises: 20251118_0900
"""

from alembic import op

revision = "20251119_0900"
down_revision = "20251118_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"timestamp-without-zone": "every time that the application keeps is of UTC"}

TABLES = (
    """
    CREATE TABLE "mcp_integrations" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "provider" VARCHAR(50) NOT NULL,
      "account" VARCHAR(255) NOT NULL,
      "serverUrl" VARCHAR(500),
      "accessToken" TEXT,
      "refreshToken" TEXT,
      "tokenExpiresAt" TIMESTAMP(3),
      "scopes" JSONB NOT NULL DEFAULT '[]',
      "config" JSONB NOT NULL DEFAULT '{}',
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "syncIntervalMinutes" INTEGER NOT NULL DEFAULT 60,
      "nextSyncAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "mcp_integrations_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "mcp_integrations_accessToken_check"
        CHECK ("accessToken" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "mcp_integrations_refreshToken_check"
        CHECK ("refreshToken" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "mcp_integrations_scopes_check" CHECK (jsonb_typeof(scopes) = 'array'),
      CONSTRAINT "mcp_integrations_config_check" CHECK (jsonb_typeof(config) = 'object'),
      CONSTRAINT "mcp_integrations_syncIntervalMinutes_check" CHECK ("syncIntervalMinutes" > 0)
    )
    """,
    """
    CREATE TABLE "mcp_sync_logs" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "integrationId" UUID NOT NULL,
      "status" "SyncStatus" NOT NULL DEFAULT 'PENDING',
      "trigger" VARCHAR(20) NOT NULL DEFAULT 'SCHEDULE',
      "cursor" VARCHAR(500),
      "itemsRead" INTEGER NOT NULL DEFAULT 0,
      "itemsChanged" INTEGER NOT NULL DEFAULT 0,
      "error" TEXT,
      "startedAt" TIMESTAMP(3),
      "finishedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "mcp_sync_logs_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "mcp_sync_logs_trigger_check" CHECK ("trigger"::text IN ('SCHEDULE', 'USER', 'WEBHOOK')),
      CONSTRAINT "mcp_sync_logs_itemsRead_check" CHECK ("itemsRead" >= 0),
      CONSTRAINT "mcp_sync_logs_itemsChanged_check" CHECK ("itemsChanged" BETWEEN 0 AND "itemsRead"),
      CONSTRAINT "mcp_sync_logs_finishedAt_check" CHECK ("finishedAt" >= "startedAt"),
      CONSTRAINT "mcp_sync_logs_finished_check"
        CHECK (("status" IN ('COMPLETED', 'FAILED')) = ("finishedAt" IS NOT NULL)),
      CONSTRAINT "mcp_sync_logs_error_check" CHECK (("status" = 'FAILED') = ("error" IS NOT NULL)),
      CONSTRAINT "mcp_sync_logs_integrationId_fkey"
        FOREIGN KEY ("integrationId") REFERENCES "mcp_integrations" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "mcp_integrations" ADD CONSTRAINT "mcp_integrations_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE INDEX "mcp_integrations_nextSyncAt_idx" ON "mcp_integrations" ("nextSyncAt") WHERE "isActive"',
    'CREATE INDEX "mcp_integrations_scopes_idx" ON "mcp_integrations" USING GIN ("scopes" jsonb_path_ops)',
    'CREATE INDEX "mcp_integrations_tokenExpiresAt_idx" ON "mcp_integrations" ("tokenExpiresAt") WHERE "isActive"',
    """
    CREATE UNIQUE INDEX "mcp_integrations_userId_provider_account_key"
      ON "mcp_integrations" ("userId", "provider", "account")
    """,
    """CREATE INDEX "mcp_sync_logs_failed_idx" ON "mcp_sync_logs" ("createdAt" DESC) WHERE status = 'FAILED'""",
    'CREATE INDEX "mcp_sync_logs_integrationId_createdAt_idx" ON "mcp_sync_logs" ("integrationId", "createdAt" DESC)',
    """
    CREATE UNIQUE INDEX "mcp_sync_logs_running_key"
      ON "mcp_sync_logs" ("integrationId") WHERE status = 'RUNNING'
    """,
)

COMMENTS = (
    """COMMENT ON TABLE "mcp_integrations" IS 'Accounts of other services that agents may work with.'""",
    """COMMENT ON COLUMN "mcp_integrations"."provider" IS 'gmail, notion …'""",
    """COMMENT ON COLUMN "mcp_integrations"."account" IS 'The service''s name for the account.'""",
    """COMMENT ON COLUMN "mcp_integrations"."serverUrl" IS 'Of a server of the user''s own.'""",
    """COMMENT ON COLUMN "mcp_integrations"."accessToken" IS 'Encrypted; none once it was revoked.'""",
    """COMMENT ON COLUMN "mcp_integrations"."refreshToken" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "mcp_integrations"."tokenExpiresAt" IS 'When accessToken must be renewed.'""",
    """COMMENT ON COLUMN "mcp_integrations"."scopes" IS 'An array of strings: what the user gave leave for.'""",
    """
    COMMENT ON COLUMN "mcp_integrations"."config" IS
      'What the provider''s own integration is set to; never a secret.'
    """,
    """COMMENT ON COLUMN "mcp_integrations"."nextSyncAt" IS 'When it is to be looked at again.'""",
    """COMMENT ON TABLE "mcp_sync_logs" IS 'Each time that something was fetched from another service.'""",
    """COMMENT ON COLUMN "mcp_sync_logs"."trigger" IS 'Who asked for it: time, the user, or the service.'""",
    """COMMENT ON COLUMN "mcp_sync_logs"."cursor" IS 'Where the service says that the next one is to go on.'""",
    """COMMENT ON COLUMN "mcp_sync_logs"."error" IS 'Why it failed; never a token.'""",
    """COMMENT ON COLUMN "mcp_sync_logs"."finishedAt" IS 'When it was done, or failed.'""",
)

CREATED_TABLES = ("mcp_integrations", "mcp_sync_logs")


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES, *COMMENTS):
        op.execute(statement)
    for table in CREATED_TABLES:
        op.execute(
            f'CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
        )
    for statement in REFERENCES:
        op.execute(statement)


def downgrade() -> None:
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
