"""What users work with: agents, the conversations with them, and what comes out of those."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Index, Integer, Numeric, PrimaryKeyConstraint, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, reference

if TYPE_CHECKING:
    from migrations.models.identity import User
    from migrations.models.support import SupportMessage, SupportTicket
    from migrations.models.usage import UsageLog


class Agent(Base):
    """An AI agent that users talk to."""

    __tablename__ = "agents"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="agents_pkey"),
        reference("agents_createdBy_fkey", "createdBy", "users.id"),
        Index("agents_slug_key", "slug", unique=True),
        Index("agents_createdBy_idx", "createdBy"),
        Index("agents_category_idx", "category"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    createdBy: Mapped[uuid.UUID] = mapped_column(UUID())
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(100))
    config: Mapped[Json | None] = mapped_column(JSONB)
    endpointUrl: Mapped[str] = mapped_column(String(500))
    systemPrompt: Mapped[str | None] = mapped_column(Text)
    isPublic: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    isActive: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    documentationUrl: Mapped[str | None] = mapped_column(String(500))
    tutorialUrl: Mapped[str | None] = mapped_column(String(500))
    capabilities: Mapped[Json | None] = mapped_column(JSONB)
    totalUses: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    totalMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    averageRating: Mapped[Decimal | None] = mapped_column(Numeric(3, 2))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp)

    creator: Mapped["User"] = relationship(back_populates="agents")
    conversations: Mapped[list["Conversation"]] = children("agent")
    permissions: Mapped[list["UserAgentPermission"]] = children("agent")
    artifacts: Mapped[list["Artifact"]] = children("agent")
    usageLogs: Mapped[list["UsageLog"]] = children("agent")
    supportTickets: Mapped[list["SupportTicket"]] = children("agent")
    supportMessages: Mapped[list["SupportMessage"]] = children("agent")


class ChatSession(Base):
    """A stretch of a user's activity, which conversations belong to."""

    __tablename__ = "chat_sessions"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="chat_sessions_pkey"),
        reference("chat_sessions_userId_fkey", "userId", "users.id"),
        Index("chat_sessions_userId_idx", "userId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    startedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    lastActivity: Mapped[dt.datetime] = mapped_column(Timestamp)
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB)

    user: Mapped["User"] = relationship(back_populates="chatSessions")
    conversations: Mapped[list["Conversation"]] = children("chatSession")


class Conversation(Base):
    """A conversation with an agent; the application keeps its counts."""

    __tablename__ = "conversations"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="conversations_pkey"),
        reference("conversations_agentId_fkey", "agentId", "agents.id"),
        reference("conversations_chatSessionId_fkey", "chatSessionId", "chat_sessions.id"),
        Index("conversations_agentId_idx", "agentId"),
        Index("conversations_chatSessionId_idx", "chatSessionId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    chatSessionId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    title: Mapped[str] = mapped_column(String(500))
    summary: Mapped[str | None] = mapped_column(Text)
    messageCount: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tokenCount: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp)

    chatSession: Mapped["ChatSession"] = relationship(back_populates="conversations")
    agent: Mapped["Agent"] = relationship(back_populates="conversations")
    messages: Mapped[list["Message"]] = children("conversation")
    supportTickets: Mapped[list["SupportTicket"]] = children("conversation")


class Message(Base):
    """A message of a conversation."""

    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="messages_pkey"),
        reference("messages_conversationId_fkey", "conversationId", "conversations.id"),
        Index("messages_conversationId_idx", "conversationId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    conversationId: Mapped[uuid.UUID] = mapped_column(UUID())
    role: Mapped[str] = mapped_column(String(50))
    content: Mapped[str] = mapped_column(Text)
    tokensInput: Mapped[int | None] = mapped_column(Integer)
    tokensOutput: Mapped[int | None] = mapped_column(Integer)
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB)
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    conversation: Mapped["Conversation"] = relationship(back_populates="messages")


class UserAgentPermission(Base):
    """Leave for a user to use an agent."""

    __tablename__ = "user_agent_permissions"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="user_agent_permissions_pkey"),
        reference("user_agent_permissions_userId_fkey", "userId", "users.id"),
        reference("user_agent_permissions_agentId_fkey", "agentId", "agents.id"),
        Index("user_agent_permissions_userId_agentId_key", "userId", "agentId", unique=True),
        Index("user_agent_permissions_userId_idx", "userId"),
        Index("user_agent_permissions_agentId_idx", "agentId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    grantedBy: Mapped[str | None] = mapped_column(String(255))
    grantedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="agentPermissions")
    agent: Mapped["Agent"] = relationship(back_populates="permissions")


class Artifact(Base):
    """Something an agent made; versions of it name the one they came from."""

    __tablename__ = "artifacts"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="artifacts_pkey"),
        reference("artifacts_agentId_fkey", "agentId", "agents.id"),
        reference("artifacts_parentId_fkey", "parentId", "artifacts.id", ondelete="SET NULL"),
        Index("artifacts_agentId_idx", "agentId"),
        Index("artifacts_userId_idx", "userId"),
        Index("artifacts_parentId_idx", "parentId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    userId: Mapped[str] = mapped_column(String(255))
    conversationId: Mapped[uuid.UUID | None] = mapped_column(UUID())
    name: Mapped[str] = mapped_column(String(500))
    type: Mapped[str] = mapped_column(String(50))
    content: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    parentId: Mapped[uuid.UUID | None] = mapped_column(UUID())
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB)
    tags: Mapped[Json | None] = mapped_column(JSONB)
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp)

    agent: Mapped["Agent"] = relationship(back_populates="artifacts")
    parent: Mapped["Artifact | None"] = relationship(back_populates="versions", remote_side="Artifact.id")
    versions: Mapped[list["Artifact"]] = children("parent")
