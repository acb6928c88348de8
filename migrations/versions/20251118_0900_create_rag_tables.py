"""Documents that agents read, and how they are searched; their vectors lie in a vector store outside.

Revision ID: 20251118_0900
Revises: 20251111_0900
"""

from alembic import op

revision = "20251118_0900"
down_revision = "20251111_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {
    "timestamp-without-zone": "every time that the application keeps is of UTC",
    "several-locks": "references of new, empty tables: they come last, and check no row",
}

ENUMS = ("""CREATE TYPE "SyncStatus" AS ENUM ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')""",)

TABLES = (
    """
    CREATE TABLE "rag_documents" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "agentId" UUID,
      "fileId" UUID,
      "title" VARCHAR(500) NOT NULL,
      "summary" TEXT,
      "sourceType" VARCHAR(20) NOT NULL DEFAULT 'FILE',
      "sourceUrl" VARCHAR(2000),
      "contentHash" VARCHAR(64) NOT NULL,
      "language" VARCHAR(10) NOT NULL DEFAULT 'es',
      "tokenCount" INTEGER NOT NULL DEFAULT 0,
      "namespace" VARCHAR(255) NOT NULL DEFAULT 'default',
      "vectorIds" JSONB NOT NULL DEFAULT '[]',
      "tags" JSONB NOT NULL DEFAULT '[]',
      "status" "SyncStatus" NOT NULL DEFAULT 'PENDING',
      "error" TEXT,
      "indexedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "rag_documents_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "rag_documents_sourceType_check" CHECK ("sourceType"::text IN ('FILE', 'URL', 'NOTE', 'INTEGRATION')),
      CONSTRAINT "rag_documents_sourceUrl_check" CHECK (("sourceType" = 'URL') = ("sourceUrl" IS NOT NULL)),
      CONSTRAINT "rag_documents_contentHash_check" CHECK ("contentHash" ~ '^[0-9a-f]{64}$'),
      CONSTRAINT "rag_documents_tokenCount_check" CHECK ("tokenCount" >= 0),
      CONSTRAINT "rag_documents_vectorIds_check" CHECK (jsonb_typeof("vectorIds") = 'array'),
      CONSTRAINT "rag_documents_tags_check" CHECK (jsonb_typeof(tags) = 'array'),
      CONSTRAINT "rag_documents_indexedAt_check" CHECK ("status" <> 'COMPLETED' OR "indexedAt" IS NOT NULL),
      CONSTRAINT "rag_documents_error_check" CHECK (("status" = 'FAILED') = ("error" IS NOT NULL))
    )
    """,
    """
    CREATE TABLE "rag_settings" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "isEnabled" BOOLEAN NOT NULL DEFAULT true,
      "embeddingModel" VARCHAR(100) NOT NULL DEFAULT 'text-embedding-3-small',
      "chunkTokens" INTEGER NOT NULL DEFAULT 800,
      "overlapTokens" INTEGER NOT NULL DEFAULT 100,
      "topK" SMALLINT NOT NULL DEFAULT 5,
      "minScore" NUMERIC(4,3) NOT NULL DEFAULT 0.700,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "rag_settings_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "rag_settings_chunkTokens_check" CHECK ("chunkTokens" BETWEEN 50 AND 8000),
      CONSTRAINT "rag_settings_overlapTokens_check" CHECK ("overlapTokens" >= 0 AND "overlapTokens" < "chunkTokens"),
      CONSTRAINT "rag_settings_topK_check" CHECK ("topK" BETWEEN 1 AND 100),
      CONSTRAINT "rag_settings_minScore_check" CHECK ("minScore" BETWEEN 0 AND 1)
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "rag_documents" ADD CONSTRAINT "rag_documents_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "rag_documents" ADD CONSTRAINT "rag_documents_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "rag_documents" ADD CONSTRAINT "rag_documents_fileId_fkey"
      FOREIGN KEY ("fileId") REFERENCES "storage_files" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "rag_settings" ADD CONSTRAINT "rag_settings_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE INDEX "rag_documents_agentId_idx" ON "rag_documents" ("agentId")',
    'CREATE INDEX "rag_documents_fileId_idx" ON "rag_documents" ("fileId")',
    'CREATE INDEX "rag_documents_tags_idx" ON "rag_documents" USING GIN ("tags" jsonb_path_ops)',
    """
    CREATE UNIQUE INDEX "rag_documents_userId_agentId_contentHash_key"
      ON "rag_documents" ("userId", "agentId", "contentHash") NULLS NOT DISTINCT
    """,
    'CREATE INDEX "rag_documents_userId_createdAt_idx" ON "rag_documents" ("userId", "createdAt" DESC)',
    'CREATE INDEX "rag_documents_vectorIds_idx" ON "rag_documents" USING GIN ("vectorIds" jsonb_path_ops)',
    """
    CREATE INDEX "rag_documents_waiting_idx"
      ON "rag_documents" ("createdAt") WHERE status IN ('PENDING', 'RUNNING')
    """,
    """
    CREATE INDEX "rag_documents_words_english_idx"
      ON "rag_documents" USING GIN (to_tsvector('english', ("title" || ' ') || coalesce("summary", '')))
    """,
    """
    CREATE INDEX "rag_documents_words_spanish_idx"
      ON "rag_documents" USING GIN (to_tsvector('spanish', ("title" || ' ') || coalesce("summary", '')))
    """,
    'CREATE UNIQUE INDEX "rag_settings_userId_key" ON "rag_settings" ("userId")',
)

COMMENTS = (
    """COMMENT ON TABLE "rag_documents" IS 'Documents that agents may read for their user.'""",
    """COMMENT ON COLUMN "rag_documents"."agentId" IS 'The one agent that it is for; none for all.'""",
    """COMMENT ON COLUMN "rag_documents"."fileId" IS 'The stored file that it was read from.'""",
    """COMMENT ON COLUMN "rag_documents"."summary" IS 'What it says, in short; the whole is at its source.'""",
    """COMMENT ON COLUMN "rag_documents"."sourceUrl" IS 'Of a page only.'""",
    """COMMENT ON COLUMN "rag_documents"."contentHash" IS 'SHA-256 of what was read, hexadecimal.'""",
    """COMMENT ON COLUMN "rag_documents"."namespace" IS 'The part of the vector store that the vectors lie in.'""",
    """
    COMMENT ON COLUMN "rag_documents"."vectorIds" IS
      'An array of the vector store''s names for its parts, in order.'
    """,
    """COMMENT ON COLUMN "rag_documents"."tags" IS 'An array of strings.'""",
    """COMMENT ON COLUMN "rag_documents"."status" IS 'How far it is on its way to the vector store.'""",
    """COMMENT ON COLUMN "rag_documents"."error" IS 'Why it did not get there.'""",
    """COMMENT ON COLUMN "rag_documents"."indexedAt" IS 'When the vectors were last written.'""",
    """COMMENT ON TABLE "rag_settings" IS 'How users'' documents are cut up and searched, one row a user.'""",
    """COMMENT ON COLUMN "rag_settings"."isEnabled" IS 'Whether agents may search at all.'""",
    """COMMENT ON COLUMN "rag_settings"."chunkTokens" IS 'How long a part is.'""",
    """COMMENT ON COLUMN "rag_settings"."overlapTokens" IS 'How much of a part the next one repeats.'""",
    """COMMENT ON COLUMN "rag_settings"."topK" IS 'How many parts an agent gets.'""",
    """COMMENT ON COLUMN "rag_settings"."minScore" IS 'How like the question a part must be, 0 to 1.'""",
)

CREATED_TABLES = ("rag_documents", "rag_settings")
CREATED_TYPES = ("SyncStatus",)


def upgrade() -> None:
    for statement in (*ENUMS, *TABLES, *INDEXES, *COMMENTS):
        op.execute(statement)
    for table in CREATED_TABLES:
        op.execute(
            f'CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
        )
    for statement in REFERENCES:
        op.execute(statement)


def downgrade() -> None:
    # To drop a foreign key locks the table that it refers to: in the order in which the application takes them.
    op.execute('LOCK TABLE "agents", "storage_files", "users" IN ACCESS EXCLUSIVE MODE')
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
