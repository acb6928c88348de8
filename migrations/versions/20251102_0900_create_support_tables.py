"""Tickets of users who ask for help, and what is said in them.

Revision ID: 20251102_0900
Revises: 20251102_0800
"""

from alembic import op

revision = "20251102_0900"
down_revision = "20251102_0800"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {
    "timestamp-without-zone": "every time that the application keeps is of UTC",
    "several-locks": "references of new, empty tables: they come last, and check no row",
}

ENUMS = (
    """
    CREATE TYPE "TicketCategory" AS ENUM (
      'BUG', 'FEATURE', 'QUESTION', 'ACCOUNT', 'BILLING', 'PERFORMANCE', 'OTHER'
    )
    """,
    """CREATE TYPE "TicketPriority" AS ENUM ('LOW', 'MEDIUM', 'HIGH', 'URGENT')""",
    """
    CREATE TYPE "TicketStatus" AS ENUM (
      'OPEN', 'IN_PROGRESS', 'WAITING_USER', 'RESOLVED', 'CLOSED', 'CANCELLED'
    )
    """,
)

TABLES = (
    """
    CREATE TABLE "support_tickets" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "assignedTo" UUID,
      "agentId" UUID,
      "conversationId" UUID,
      "category" "TicketCategory" NOT NULL,
      "priority" "TicketPriority" NOT NULL DEFAULT 'MEDIUM',
      "status" "TicketStatus" NOT NULL DEFAULT 'OPEN',
      "subject" VARCHAR(255) NOT NULL,
      "description" TEXT NOT NULL,
      "tags" JSONB NOT NULL DEFAULT '[]',
      "rating" SMALLINT,
      "firstResponseAt" TIMESTAMP(3),
      "resolvedAt" TIMESTAMP(3),
      "closedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "support_tickets_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "support_tickets_rating_check" CHECK (rating BETWEEN 1 AND 5),
      CONSTRAINT "support_tickets_resolvedAt_check" CHECK (status <> 'RESOLVED' OR "resolvedAt" IS NOT NULL),
      CONSTRAINT "support_tickets_closedAt_check"
        CHECK (status NOT IN ('CLOSED', 'CANCELLED') OR "closedAt" IS NOT NULL),
      CONSTRAINT "support_tickets_tags_check" CHECK (jsonb_typeof(tags) = 'array')
    )
    """,
    """
    CREATE TABLE "support_messages" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "ticketId" UUID NOT NULL,
      "authorId" UUID,
      "agentId" UUID,
      "content" TEXT NOT NULL,
      "isInternal" BOOLEAN NOT NULL DEFAULT false,
      "readAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "support_messages_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "support_messages_author_check" CHECK (num_nonnulls("authorId", "agentId") <= 1),
      CONSTRAINT "support_messages_content_check" CHECK (content <> ''),
      CONSTRAINT "support_messages_ticketId_fkey"
        FOREIGN KEY ("ticketId") REFERENCES "support_tickets" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "support_tickets" ADD CONSTRAINT "support_tickets_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "support_tickets" ADD CONSTRAINT "support_tickets_assignedTo_fkey"
      FOREIGN KEY ("assignedTo") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "support_tickets" ADD CONSTRAINT "support_tickets_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "support_tickets" ADD CONSTRAINT "support_tickets_conversationId_fkey"
      FOREIGN KEY ("conversationId") REFERENCES "conversations" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "support_messages" ADD CONSTRAINT "support_messages_authorId_fkey"
      FOREIGN KEY ("authorId") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "support_messages" ADD CONSTRAINT "support_messages_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents" ("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE INDEX "support_tickets_agentId_idx" ON "support_tickets" ("agentId")',
    'CREATE INDEX "support_tickets_assignedTo_status_idx" ON "support_tickets" ("assignedTo", "status")',
    'CREATE INDEX "support_tickets_category_createdAt_idx" ON "support_tickets" ("category", "createdAt" DESC)',
    'CREATE INDEX "support_tickets_conversationId_idx" ON "support_tickets" ("conversationId")',
    """
    CREATE INDEX "support_tickets_open_priority_idx"
      ON "support_tickets" (priority DESC, "createdAt") WHERE status IN ('OPEN', 'IN_PROGRESS', 'WAITING_USER')
    """,
    'CREATE INDEX "support_tickets_tags_idx" ON "support_tickets" USING GIN ("tags" jsonb_path_ops)',
    'CREATE INDEX "support_tickets_userId_createdAt_idx" ON "support_tickets" ("userId", "createdAt" DESC)',
    'CREATE INDEX "support_messages_agentId_idx" ON "support_messages" ("agentId")',
    'CREATE INDEX "support_messages_authorId_idx" ON "support_messages" ("authorId")',
    'CREATE INDEX "support_messages_ticketId_createdAt_idx" ON "support_messages" ("ticketId", "createdAt")',
)

COMMENTS = (
    """COMMENT ON TABLE "support_tickets" IS 'Requests for help by users.'""",
    """COMMENT ON COLUMN "support_tickets"."userId" IS 'Who asks.'""",
    """COMMENT ON COLUMN "support_tickets"."assignedTo" IS 'The person who takes care of it.'""",
    """COMMENT ON COLUMN "support_tickets"."agentId" IS 'The agent that answers before a person does.'""",
    """COMMENT ON COLUMN "support_tickets"."conversationId" IS 'The conversation that it is about.'""",
    """COMMENT ON COLUMN "support_tickets"."tags" IS 'An array of strings.'""",
    """COMMENT ON COLUMN "support_tickets"."rating" IS 'How well it was answered, 1 to 5, by who asked.'""",
    """
    COMMENT ON COLUMN "support_tickets"."firstResponseAt" IS
      'When the first answer was written, by a person or an agent.'
    """,
    """COMMENT ON COLUMN "support_tickets"."closedAt" IS 'When it was closed or cancelled.'""",
    """COMMENT ON TABLE "support_messages" IS 'What is said in tickets.'""",
    """
    COMMENT ON COLUMN "support_messages"."authorId" IS
      'The person who wrote it; none for an agent''s, or after the person is gone.'
    """,
    """
    COMMENT ON COLUMN "support_messages"."agentId" IS
      'The agent that wrote it; none for a person''s, or after the agent is gone.'
    """,
    """COMMENT ON COLUMN "support_messages"."isInternal" IS 'Whether it is a note that the user does not see.'""",
    """COMMENT ON COLUMN "support_messages"."readAt" IS 'When the other side first read it.'""",
)

TOUCH = """
CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW
  WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()
"""
TOUCHED = ("support_tickets", "support_messages")

CREATED_TABLES = ("support_tickets", "support_messages")
CREATED_TYPES = ("TicketCategory", "TicketPriority", "TicketStatus")


def upgrade() -> None:
    for statement in (*ENUMS, *TABLES, *INDEXES, *COMMENTS):
        op.execute(statement)
    for table in TOUCHED:
        op.execute(TOUCH.format(table=table))
    for statement in REFERENCES:
        op.execute(statement)


def downgrade() -> None:
    # To drop a foreign key locks the table that it refers to: in the order in which the application takes them.
    op.execute('LOCK TABLE "conversations", "agents", "users" IN ACCESS EXCLUSIVE MODE')
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
