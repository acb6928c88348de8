"""Files of users: folders, quotas, shares, and the trail of what was done with them.

Revision ID: 20251104_0900
Revises: 20251102_0900
"""

from alembic import op

revision = "20251104_0900"
down_revision = "20251102_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"timestamp-without-zone": "every time that the application keeps is of UTC"}

ENUMS = (
    """CREATE TYPE "StorageProvider" AS ENUM ('VERCEL_BLOB', 'LOCAL', 'AWS_S3', 'CLOUDFLARE_R2')""",
    """CREATE TYPE "FileAccessLevel" AS ENUM ('PRIVATE', 'INTERNAL', 'PUBLIC', 'SHARED')""",
    """
    CREATE TYPE "FileUsageContext" AS ENUM (
      'THEME', 'AVATAR', 'TICKET', 'ARTIFACT', 'HEALTH', 'FINANCE', 'BACKUP', 'TEMP', 'OTHER'
    )
    """,
    """CREATE TYPE "FileAction" AS ENUM ('UPLOAD', 'DOWNLOAD', 'VIEW', 'DELETE', 'SHARE', 'UPDATE')""",
    """CREATE TYPE "ShareType" AS ENUM ('LINK', 'EMAIL', 'USER')""",
)

TABLES = (
    """
    CREATE TABLE "storage_folders" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "parentId" UUID,
      "name" VARCHAR(255) NOT NULL,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "storage_folders_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "storage_folders_name_check" CHECK (name <> '' AND name !~ '/'),
      CONSTRAINT "storage_folders_parentId_check" CHECK ("parentId" <> id),
      CONSTRAINT "storage_folders_parentId_fkey"
        FOREIGN KEY ("parentId") REFERENCES "storage_folders" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "storage_files" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "folderId" UUID,
      "name" VARCHAR(255) NOT NULL,
      "mimeType" VARCHAR(255) NOT NULL,
      "sizeBytes" BIGINT NOT NULL,
      "checksum" VARCHAR(64) NOT NULL,
      "provider" "StorageProvider" NOT NULL DEFAULT 'VERCEL_BLOB',
      "storageKey" VARCHAR(1000) NOT NULL,
      "url" VARCHAR(2000),
      "accessLevel" "FileAccessLevel" NOT NULL DEFAULT 'PRIVATE',
      "usageContext" "FileUsageContext" NOT NULL DEFAULT 'OTHER',
      "contextId" UUID,
      "tags" JSONB NOT NULL DEFAULT '[]',
      "metadata" JSONB,
      "expiresAt" TIMESTAMP(3),
      "deletedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "storage_files_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "storage_files_sizeBytes_check" CHECK ("sizeBytes" >= 0),
      CONSTRAINT "storage_files_checksum_check" CHECK (checksum ~ '^[0-9a-f]{64}$'),
      CONSTRAINT "storage_files_expiresAt_check" CHECK ("usageContext" <> 'TEMP' OR "expiresAt" IS NOT NULL),
      CONSTRAINT "storage_files_tags_check" CHECK (jsonb_typeof(tags) = 'array'),
      CONSTRAINT "storage_files_folderId_fkey"
        FOREIGN KEY ("folderId") REFERENCES "storage_folders" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "storage_quotas" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "maxStorage" BIGINT NOT NULL,
      "maxFileSize" BIGINT NOT NULL,
      "maxFiles" INTEGER NOT NULL,
      "usedStorage" BIGINT NOT NULL DEFAULT 0,
      "usedFiles" INTEGER NOT NULL DEFAULT 0,
      "subscriptionTier" "SubscriptionTier" NOT NULL DEFAULT 'FREE',
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "storage_quotas_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "storage_quotas_limits_check" CHECK ("maxStorage" >= 0 AND "maxFileSize" >= 0 AND "maxFiles" >= 0),
      CONSTRAINT "storage_quotas_maxFileSize_check" CHECK ("maxFileSize" <= "maxStorage"),
      CONSTRAINT "storage_quotas_used_check" CHECK ("usedStorage" >= 0 AND "usedFiles" >= 0)
    )
    """,
    """
    CREATE TABLE "file_shares" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "fileId" UUID NOT NULL,
      "sharedBy" UUID NOT NULL,
      "type" "ShareType" NOT NULL,
      "token" VARCHAR(255),
      "sharedWithEmail" VARCHAR(255),
      "sharedWithUserId" UUID,
      "canEdit" BOOLEAN NOT NULL DEFAULT false,
      "maxDownloads" INTEGER,
      "downloads" INTEGER NOT NULL DEFAULT 0,
      "expiresAt" TIMESTAMP(3),
      "revokedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "file_shares_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "file_shares_recipient_check" CHECK (
        CASE type
          WHEN 'LINK' THEN token IS NOT NULL AND "sharedWithEmail" IS NULL AND "sharedWithUserId" IS NULL
          WHEN 'EMAIL' THEN "sharedWithEmail" IS NOT NULL AND "sharedWithUserId" IS NULL
          ELSE "sharedWithUserId" IS NOT NULL AND "sharedWithEmail" IS NULL AND token IS NULL
        END
      ),
      CONSTRAINT "file_shares_maxDownloads_check" CHECK ("maxDownloads" > 0),
      CONSTRAINT "file_shares_downloads_check" CHECK (downloads >= 0),
      CONSTRAINT "file_shares_expiresAt_check" CHECK ("expiresAt" > "createdAt"),
      CONSTRAINT "file_shares_fileId_fkey"
        FOREIGN KEY ("fileId") REFERENCES "storage_files" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "file_access_logs" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "fileId" UUID,
      "userId" UUID,
      "shareId" UUID,
      "fileName" VARCHAR(255) NOT NULL,
      "action" "FileAction" NOT NULL,
      "ipAddress" INET,
      "userAgent" VARCHAR(500),
      "timestamp" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "file_access_logs_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "file_access_logs_fileId_fkey"
        FOREIGN KEY ("fileId") REFERENCES "storage_files" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
      CONSTRAINT "file_access_logs_shareId_fkey"
        FOREIGN KEY ("shareId") REFERENCES "file_shares" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "storage_folders" ADD CONSTRAINT "storage_folders_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "storage_files" ADD CONSTRAINT "storage_files_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "storage_quotas" ADD CONSTRAINT "storage_quotas_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "file_shares" ADD CONSTRAINT "file_shares_sharedBy_fkey"
      FOREIGN KEY ("sharedBy") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "file_shares" ADD CONSTRAINT "file_shares_sharedWithUserId_fkey"
      FOREIGN KEY ("sharedWithUserId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "file_access_logs" ADD CONSTRAINT "file_access_logs_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE INDEX "storage_folders_parentId_idx" ON "storage_folders" ("parentId")',
    """
    CREATE UNIQUE INDEX "storage_folders_userId_parentId_name_key"
      ON "storage_folders" ("userId", "parentId", "name") NULLS NOT DISTINCT
    """,
    'CREATE INDEX "storage_files_deletedAt_idx" ON "storage_files" ("deletedAt") WHERE "deletedAt" IS NOT NULL',
    'CREATE INDEX "storage_files_expiresAt_idx" ON "storage_files" ("expiresAt") WHERE "deletedAt" IS NULL',
    'CREATE INDEX "storage_files_folderId_name_idx" ON "storage_files" ("folderId", "name")',
    'CREATE UNIQUE INDEX "storage_files_provider_storageKey_key" ON "storage_files" ("provider", "storageKey")',
    'CREATE INDEX "storage_files_tags_idx" ON "storage_files" USING GIN ("tags" jsonb_path_ops)',
    """
    CREATE INDEX "storage_files_usageContext_contextId_idx"
      ON "storage_files" ("usageContext", "contextId") WHERE "contextId" IS NOT NULL
    """,
    'CREATE INDEX "storage_files_userId_checksum_idx" ON "storage_files" ("userId", "checksum")',
    'CREATE INDEX "storage_files_userId_createdAt_idx" ON "storage_files" ("userId", "createdAt" DESC)',
    'CREATE INDEX "storage_quotas_subscriptionTier_idx" ON "storage_quotas" ("subscriptionTier")',
    'CREATE UNIQUE INDEX "storage_quotas_userId_key" ON "storage_quotas" ("userId")',
    'CREATE INDEX "file_shares_expiresAt_idx" ON "file_shares" ("expiresAt") WHERE "revokedAt" IS NULL',
    'CREATE INDEX "file_shares_fileId_idx" ON "file_shares" ("fileId")',
    """
    CREATE UNIQUE INDEX "file_shares_fileId_sharedWithUserId_key"
      ON "file_shares" ("fileId", "sharedWithUserId") WHERE type = 'USER' AND "revokedAt" IS NULL
    """,
    'CREATE INDEX "file_shares_sharedBy_idx" ON "file_shares" ("sharedBy")',
    """
    CREATE INDEX "file_shares_sharedWithEmail_idx"
      ON "file_shares" (lower("sharedWithEmail")) WHERE "sharedWithEmail" IS NOT NULL
    """,
    'CREATE INDEX "file_shares_sharedWithUserId_idx" ON "file_shares" ("sharedWithUserId")',
    'CREATE UNIQUE INDEX "file_shares_token_key" ON "file_shares" ("token")',
    'CREATE INDEX "file_access_logs_fileId_timestamp_idx" ON "file_access_logs" ("fileId", "timestamp" DESC)',
    'CREATE INDEX "file_access_logs_shareId_idx" ON "file_access_logs" ("shareId")',
    'CREATE INDEX "file_access_logs_timestamp_idx" ON "file_access_logs" USING BRIN ("timestamp")',
    'CREATE INDEX "file_access_logs_userId_timestamp_idx" ON "file_access_logs" ("userId", "timestamp" DESC)',
)

COMMENTS = (
    """COMMENT ON TABLE "storage_folders" IS 'Folders of users'' files; a name is unique in its folder.'""",
    """COMMENT ON COLUMN "storage_folders"."parentId" IS 'The folder it lies in; none at the top.'""",
    """COMMENT ON TABLE "storage_files" IS 'Files of users; the bytes lie with the provider.'""",
    """COMMENT ON COLUMN "storage_files"."userId" IS 'Whose quota it counts against.'""",
    """COMMENT ON COLUMN "storage_files"."folderId" IS 'The folder it lies in; none at the top.'""",
    """COMMENT ON COLUMN "storage_files"."checksum" IS 'SHA-256 of the bytes, hexadecimal.'""",
    """COMMENT ON COLUMN "storage_files"."storageKey" IS 'The provider''s name for it.'""",
    """COMMENT ON COLUMN "storage_files"."url" IS 'Where the provider serves it, if it does.'""",
    """
    COMMENT ON COLUMN "storage_files"."contextId" IS
      'What it belongs to: a row of the table that usageContext means.'
    """,
    """COMMENT ON COLUMN "storage_files"."tags" IS 'An array of strings.'""",
    """COMMENT ON COLUMN "storage_files"."metadata" IS 'Width, height, length, pages: by kind.'""",
    """COMMENT ON COLUMN "storage_files"."expiresAt" IS 'When it may be deleted by itself.'""",
    """
    COMMENT ON COLUMN "storage_files"."deletedAt" IS
      'When the user deleted it; from then on it takes no room, and its bytes may go.'
    """,
    """COMMENT ON TABLE "storage_quotas" IS 'How much room each user has for files, and how much is taken.'""",
    """COMMENT ON COLUMN "storage_quotas"."maxStorage" IS 'Bytes of all files together.'""",
    """COMMENT ON COLUMN "storage_quotas"."maxFileSize" IS 'Bytes of one file.'""",
    """
    COMMENT ON COLUMN "storage_quotas"."usedStorage" IS
      'Bytes of the files that are not deleted; kept by a trigger. May exceed the limit after a change.'
    """,
    """COMMENT ON COLUMN "storage_quotas"."usedFiles" IS 'How many files are not deleted; kept by a trigger.'""",
    """COMMENT ON COLUMN "storage_quotas"."subscriptionTier" IS 'What the limits were given for.'""",
    """COMMENT ON TABLE "file_shares" IS 'Who may read a file beside its owner.'""",
    """COMMENT ON COLUMN "file_shares"."type" IS 'Which of the next three columns counts.'""",
    """COMMENT ON COLUMN "file_shares"."token" IS 'What the link ends in: who has it may read.'""",
    """COMMENT ON COLUMN "file_shares"."maxDownloads" IS 'How often it may be read; none is no limit.'""",
    """COMMENT ON COLUMN "file_shares"."revokedAt" IS 'When it was taken back.'""",
    """COMMENT ON TABLE "file_access_logs" IS 'What was done with files, kept after a file is gone; only added to.'""",
    """COMMENT ON COLUMN "file_access_logs"."fileId" IS 'None after the file is gone.'""",
    """COMMENT ON COLUMN "file_access_logs"."userId" IS 'Who did it; none for somebody with a link.'""",
    """COMMENT ON COLUMN "file_access_logs"."shareId" IS 'By which leave, where it was not the owner.'""",
    """COMMENT ON COLUMN "file_access_logs"."fileName" IS 'The file''s name then.'""",
)

STORAGE_TRIGGERS = (
    """
    CREATE TRIGGER "storage_files_usage_insert" AFTER INSERT ON "storage_files"
      REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_update" AFTER UPDATE ON "storage_files"
      REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_delete" AFTER DELETE ON "storage_files"
      REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_files_usage_truncate" AFTER TRUNCATE ON "storage_files"
      FOR EACH STATEMENT EXECUTE FUNCTION keep_storage_usage()
    """,
    """
    CREATE TRIGGER "storage_quotas_usage_insert" BEFORE INSERT ON "storage_quotas"
      FOR EACH ROW EXECUTE FUNCTION keep_storage_usage()
    """,
)

TOUCH = """
CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""
TOUCHED = ("storage_folders", "storage_files", "storage_quotas", "file_shares")

CREATED_TABLES = ("storage_folders", "storage_files", "storage_quotas", "file_shares", "file_access_logs")
CREATED_TYPES = ("StorageProvider", "FileAccessLevel", "FileUsageContext", "FileAction", "ShareType")


def upgrade() -> None:
    for statement in (*ENUMS, *TABLES, *INDEXES, *COMMENTS, *STORAGE_TRIGGERS):
        op.execute(statement)
    for table in TOUCHED:
        op.execute(TOUCH.format(table=table))
    for statement in REFERENCES:
        op.execute(statement)


def downgrade() -> None:
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
