"""The core of the application: users, agents, conversations, usage and audit.

Revision ID: 20250122_1030
Revises:
"""

from alembic import op

revision = "20250122_1030"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"timestamp-without-zone": "every time that the application keeps is of UTC"}

ENUMS = (
    """
    CREATE TYPE "UserRole" AS ENUM (
      'SUPER_ADMIN', 'ADMIN', 'INVITED_AGENT', 'INVITED_STORAGE',
      'SUBSCRIBER', 'MANAGER', 'DEVELOPER', 'USER', 'GUEST'
    )
    """,
    """
    CREATE TYPE "SubscriptionTier" AS ENUM (
      'FREE', 'BASIC', 'PRO', 'ENTERPRISE', 'CUSTOM', 'UNLIMITED'
    )
    """,
    """
    CREATE TYPE "InvitationStatus" AS ENUM (
      'PENDING', 'ACCEPTED', 'EXPIRED', 'CANCELLED'
    )
    """,
    """
    CREATE TYPE "AlertType" AS ENUM (
      'APPROACHING_LIMIT', 'LIMIT_WARNING', 'LIMIT_EXCEEDED', 'UNUSUAL_ACTIVITY'
    )
    """,
)

TABLES = (
    """
    CREATE TABLE "users" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "email" VARCHAR(255) NOT NULL,
      "emailVerified" TIMESTAMP(3),
      "name" VARCHAR(255),
      "displayName" VARCHAR(255),
      "avatar" VARCHAR(500),
      "dateOfBirth" DATE,
      "timezone" VARCHAR(100) NOT NULL DEFAULT 'America/Mexico_City',
      "language" VARCHAR(10) NOT NULL DEFAULT 'es',
      "bio" TEXT,
      "role" "UserRole" NOT NULL DEFAULT 'USER',
      "permissions" JSONB,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "personalityProfile" JSONB,
      "aiProfileLastUpdate" TIMESTAMP(3),
      "subscriptionTier" "SubscriptionTier" NOT NULL DEFAULT 'FREE',
      "subscriptionId" VARCHAR(255),
      "subscriptionStart" TIMESTAMP(3),
      "subscriptionEnd" TIMESTAMP(3),
      "customLimits" JSONB,
      "totalMessages" INTEGER NOT NULL DEFAULT 0,
      "totalTokensUsed" BIGINT NOT NULL DEFAULT 0,
      "monthlyMessages" INTEGER NOT NULL DEFAULT 0,
      "monthlyTokens" BIGINT NOT NULL DEFAULT 0,
      "lastResetAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "lastInteraction" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "users_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "accounts" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "type" VARCHAR(50) NOT NULL,
      "provider" VARCHAR(100) NOT NULL,
      "providerAccountId" VARCHAR(255) NOT NULL,
      "refresh_token" TEXT,
      "access_token" TEXT,
      "expires_at" INTEGER,
      "token_type" VARCHAR(50),
      "scope" TEXT,
      "id_token" TEXT,
      "session_state" VARCHAR(255),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "accounts_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "auth_sessions" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "sessionToken" VARCHAR(500) NOT NULL,
      "userId" UUID NOT NULL,
      "expires" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "auth_sessions_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "verification_tokens" (
      "identifier" VARCHAR(255) NOT NULL,
      "token" VARCHAR(500) NOT NULL,
      "expires" TIMESTAMP(3) NOT NULL
    )
    """,
    """
    CREATE TABLE "invitations" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "email" VARCHAR(255) NOT NULL,
      "token" VARCHAR(500) NOT NULL,
      "role" "UserRole" NOT NULL,
      "status" "InvitationStatus" NOT NULL DEFAULT 'PENDING',
      "invitedBy" UUID NOT NULL,
      "expiresAt" TIMESTAMP(3) NOT NULL,
      "acceptedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "invitations_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "agents" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "createdBy" UUID NOT NULL,
      "name" VARCHAR(255) NOT NULL,
      "slug" VARCHAR(255) NOT NULL,
      "description" TEXT,
      "category" VARCHAR(100) NOT NULL,
      "model" VARCHAR(100) NOT NULL,
      "config" JSONB,
      "endpointUrl" VARCHAR(500) NOT NULL,
      "systemPrompt" TEXT,
      "isPublic" BOOLEAN NOT NULL DEFAULT false,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "documentationUrl" VARCHAR(500),
      "tutorialUrl" VARCHAR(500),
      "capabilities" JSONB,
      "totalUses" INTEGER NOT NULL DEFAULT 0,
      "totalMessages" INTEGER NOT NULL DEFAULT 0,
      "averageRating" DECIMAL(3, 2),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "agents_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "chat_sessions" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "startedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "lastActivity" TIMESTAMP(3) NOT NULL,
      "metadata" JSONB,
      CONSTRAINT "chat_sessions_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "conversations" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "chatSessionId" UUID NOT NULL,
      "agentId" UUID NOT NULL,
      "title" VARCHAR(500) NOT NULL,
      "summary" TEXT,
      "messageCount" INTEGER NOT NULL DEFAULT 0,
      "tokenCount" INTEGER NOT NULL DEFAULT 0,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "conversations_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "messages" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "conversationId" UUID NOT NULL,
      "role" VARCHAR(50) NOT NULL,
      "content" TEXT NOT NULL,
      "tokensInput" INTEGER,
      "tokensOutput" INTEGER,
      "metadata" JSONB,
      "timestamp" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "messages_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "user_agent_permissions" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "agentId" UUID NOT NULL,
      "grantedBy" VARCHAR(255),
      "grantedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "user_agent_permissions_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "artifacts" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "agentId" UUID NOT NULL,
      "userId" VARCHAR(255) NOT NULL,
      "conversationId" UUID,
      "name" VARCHAR(500) NOT NULL,
      "type" VARCHAR(50) NOT NULL,
      "content" TEXT NOT NULL,
      "version" INTEGER NOT NULL DEFAULT 1,
      "parentId" UUID,
      "metadata" JSONB,
      "tags" JSONB,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "artifacts_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "usage_logs" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "agentId" UUID NOT NULL,
      "conversationId" UUID,
      "messageId" VARCHAR(255),
      "tokensInput" INTEGER NOT NULL,
      "tokensOutput" INTEGER NOT NULL,
      "totalTokens" INTEGER NOT NULL,
      "model" VARCHAR(100) NOT NULL,
      "costInput" DECIMAL(10, 6) NOT NULL,
      "costOutput" DECIMAL(10, 6) NOT NULL,
      "totalCost" DECIMAL(10, 6) NOT NULL,
      "duration" INTEGER,
      "success" BOOLEAN NOT NULL DEFAULT true,
      "errorMessage" TEXT,
      "timestamp" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "usage_logs_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "monthly_usage" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "year" INTEGER NOT NULL,
      "month" INTEGER NOT NULL CHECK ("month" BETWEEN 1 AND 12),
      "totalMessages" INTEGER NOT NULL DEFAULT 0,
      "totalTokens" BIGINT NOT NULL DEFAULT 0,
      "totalCost" DECIMAL(10, 2) NOT NULL DEFAULT 0,
      "agentUsage" JSONB NOT NULL,
      "limitMessages" INTEGER,
      "limitTokens" BIGINT,
      "exceededLimit" BOOLEAN NOT NULL DEFAULT false,
      "warningsSent" INTEGER NOT NULL DEFAULT 0,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL,
      CONSTRAINT "monthly_usage_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "usage_alerts" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "type" "AlertType" NOT NULL,
      "threshold" INTEGER NOT NULL,
      "triggered" BOOLEAN NOT NULL DEFAULT false,
      "resolvedAt" TIMESTAMP(3),
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "usage_alerts_pkey" PRIMARY KEY ("id")
    )
    """,
    """
    CREATE TABLE "audit_logs" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "adminId" UUID NOT NULL,
      "action" VARCHAR(100) NOT NULL,
      "targetId" UUID,
      "details" JSONB,
      "ipAddress" INET,
      "timestamp" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "audit_logs_pkey" PRIMARY KEY ("id")
    )
    """,
)

INDEXES = (
    'CREATE UNIQUE INDEX "users_email_key" ON "users"("email")',
    'CREATE INDEX "users_role_idx" ON "users"("role")',
    'CREATE INDEX "users_subscription_tier_idx" ON "users"("subscriptionTier")',
    'CREATE INDEX "users_last_interaction_idx" ON "users"("lastInteraction" DESC)',
    'CREATE UNIQUE INDEX "accounts_provider_providerAccountId_key" ON "accounts"("provider", "providerAccountId")',
    'CREATE INDEX "accounts_userId_idx" ON "accounts"("userId")',
    'CREATE UNIQUE INDEX "auth_sessions_sessionToken_key" ON "auth_sessions"("sessionToken")',
    'CREATE INDEX "auth_sessions_userId_idx" ON "auth_sessions"("userId")',
    'CREATE UNIQUE INDEX "verification_tokens_token_key" ON "verification_tokens"("token")',
    'CREATE UNIQUE INDEX "verification_tokens_identifier_token_key" ON "verification_tokens"("identifier", "token")',
    'CREATE UNIQUE INDEX "invitations_token_key" ON "invitations"("token")',
    'CREATE INDEX "invitations_email_idx" ON "invitations"("email")',
    'CREATE INDEX "invitations_invitedBy_idx" ON "invitations"("invitedBy")',
    'CREATE UNIQUE INDEX "agents_slug_key" ON "agents"("slug")',
    'CREATE INDEX "agents_createdBy_idx" ON "agents"("createdBy")',
    'CREATE INDEX "agents_category_idx" ON "agents"("category")',
    'CREATE INDEX "chat_sessions_userId_idx" ON "chat_sessions"("userId")',
    'CREATE INDEX "conversations_agentId_idx" ON "conversations"("agentId")',
    'CREATE INDEX "conversations_chatSessionId_idx" ON "conversations"("chatSessionId")',
    'CREATE INDEX "messages_conversationId_idx" ON "messages"("conversationId")',
    'CREATE UNIQUE INDEX "user_agent_permissions_userId_agentId_key" ON "user_agent_permissions"("userId", "agentId")',
    'CREATE INDEX "user_agent_permissions_userId_idx" ON "user_agent_permissions"("userId")',
    'CREATE INDEX "user_agent_permissions_agentId_idx" ON "user_agent_permissions"("agentId")',
    'CREATE INDEX "artifacts_agentId_idx" ON "artifacts"("agentId")',
    'CREATE INDEX "artifacts_userId_idx" ON "artifacts"("userId")',
    'CREATE INDEX "artifacts_parentId_idx" ON "artifacts"("parentId")',
    'CREATE INDEX "usage_logs_userId_timestamp_idx" ON "usage_logs"("userId", "timestamp" DESC)',
    'CREATE INDEX "usage_logs_agentId_timestamp_idx" ON "usage_logs"("agentId", "timestamp" DESC)',
    'CREATE UNIQUE INDEX "monthly_usage_userId_year_month_key" ON "monthly_usage"("userId", "year", "month")',
    'CREATE INDEX "monthly_usage_userId_idx" ON "monthly_usage"("userId")',
    'CREATE INDEX "usage_alerts_userId_idx" ON "usage_alerts"("userId")',
    'CREATE INDEX "audit_logs_adminId_idx" ON "audit_logs"("adminId")',
    'CREATE INDEX "audit_logs_timestamp_idx" ON "audit_logs"("timestamp" DESC)',
)

FOREIGN_KEYS = (
    """
    ALTER TABLE "accounts" ADD CONSTRAINT "accounts_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "auth_sessions" ADD CONSTRAINT "auth_sessions_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "invitations" ADD CONSTRAINT "invitations_invitedBy_fkey"
      FOREIGN KEY ("invitedBy") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "agents" ADD CONSTRAINT "agents_createdBy_fkey"
      FOREIGN KEY ("createdBy") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "chat_sessions" ADD CONSTRAINT "chat_sessions_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "conversations" ADD CONSTRAINT "conversations_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "conversations" ADD CONSTRAINT "conversations_chatSessionId_fkey"
      FOREIGN KEY ("chatSessionId") REFERENCES "chat_sessions"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "messages" ADD CONSTRAINT "messages_conversationId_fkey"
      FOREIGN KEY ("conversationId") REFERENCES "conversations"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "user_agent_permissions" ADD CONSTRAINT "user_agent_permissions_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "user_agent_permissions" ADD CONSTRAINT "user_agent_permissions_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_parentId_fkey"
      FOREIGN KEY ("parentId") REFERENCES "artifacts"("id") ON DELETE SET NULL ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "usage_logs" ADD CONSTRAINT "usage_logs_agentId_fkey"
      FOREIGN KEY ("agentId") REFERENCES "agents"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "monthly_usage" ADD CONSTRAINT "monthly_usage_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "usage_alerts" ADD CONSTRAINT "usage_alerts_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_adminId_fkey"
      FOREIGN KEY ("adminId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
)

CREATED_TABLES = (
    "users",
    "accounts",
    "auth_sessions",
    "verification_tokens",
    "invitations",
    "agents",
    "chat_sessions",
    "conversations",
    "messages",
    "user_agent_permissions",
    "artifacts",
    "usage_logs",
    "monthly_usage",
    "usage_alerts",
    "audit_logs",
)
CREATED_TYPES = ("UserRole", "SubscriptionTier", "InvitationStatus", "AlertType")


def upgrade() -> None:
    for statement in (*ENUMS, *TABLES, *INDEXES, *FOREIGN_KEYS):
        op.execute(statement)


def downgrade() -> None:
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
