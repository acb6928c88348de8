"""What users work with: agents, the conversations with them, and what comes out of those."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Index, Integer, Numeric, PrimaryKeyConstraint, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, reference, searched

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
        {"comment": "AI agents that users talk to."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    createdBy: Mapped[uuid.UUID] = mapped_column(UUID())
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255), comment="Its name in addresses.")
    description: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(100), comment="The language model behind it.")
    config: Mapped[Json | None] = mapped_column(JSONB, comment="The model's parameters, by name.")
    endpointUrl: Mapped[str] = mapped_column(String(500), comment="Where the application calls it.")
    systemPrompt: Mapped[str | None] = mapped_column(Text)
    isPublic: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    isActive: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    documentationUrl: Mapped[str | None] = mapped_column(String(500))
    tutorialUrl: Mapped[str | None] = mapped_column(String(500))
    capabilities: Mapped[Json | None] = mapped_column(JSONB, comment="An array of what it can do.")
    totalUses: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    totalMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    averageRating: Mapped[Decimal | None] = mapped_column(Numeric(3, 2), comment="0 to 9.99, from users' ratings.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

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
        {"comment": "Stretches of a user's activity, which conversations belong to."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    startedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    lastActivity: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB, comment="What the client said of itself.")

    user: Mapped["User"] = relationship(back_populates="chatSessions")
    conversations: Mapped[list["Conversation"]] = children("chatSession")


class Conversation(Base):
    """A conversation with an agent; its counts are kept by a trigger."""

    __tablename__ = "conversations"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="conversations_pkey"),
        reference("conversations_agentId_fkey", "agentId", "agents.id"),
        reference("conversations_chatSessionId_fkey", "chatSessionId", "chat_sessions.id"),
        Index("conversations_agentId_idx", "agentId"),
        Index("conversations_chatSessionId_idx", "chatSessionId"),
        {"comment": "Conversations of users with agents."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    chatSessionId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    title: Mapped[str] = mapped_column(String(500))
    summary: Mapped[str | None] = mapped_column(Text, comment="Made by the agent.")
    messageCount: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="How many messages it has; kept by a trigger."
    )
    tokenCount: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="Tokens of its messages, in and out; kept by a trigger."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    chatSession: Mapped["ChatSession"] = relationship(back_populates="conversations")
    agent: Mapped["Agent"] = relationship(back_populates="conversations")
    messages: Mapped[list["Message"]] = children("conversation")
    artifacts: Mapped[list["Artifact"]] = children("conversation")
    usageLogs: Mapped[list["UsageLog"]] = children("conversation")
    supportTickets: Mapped[list["SupportTicket"]] = children("conversation")


class Message(Base):
    """A message of a conversation."""

    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="messages_pkey"),
        reference("messages_conversationId_fkey", "conversationId", "conversations.id"),
        Index("messages_conversationId_idx", "conversationId"),
        searched("messages_content_spanish_idx", "content", "spanish"),
        searched("messages_content_english_idx", "content", "english"),
        {"comment": "Messages of conversations."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    conversationId: Mapped[uuid.UUID] = mapped_column(UUID())
    role: Mapped[str] = mapped_column(String(50), comment="Who says it: user, assistant or system.")
    content: Mapped[str] = mapped_column(Text)
    tokensInput: Mapped[int | None] = mapped_column(Integer, comment="Tokens sent to the model.")
    tokensOutput: Mapped[int | None] = mapped_column(Integer, comment="Tokens that the model answered with.")
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB, comment="What the model said beside the text.")
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    conversation: Mapped["Conversation"] = relationship(back_populates="messages")
    usageLogs: Mapped[list["UsageLog"]] = children("message")


class UserAgentPermission(Base):
    """Leave for a user to use an agent."""

    __tablename__ = "user_agent_permissions"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="user_agent_permissions_pkey"),
        reference("user_agent_permissions_userId_fkey", "userId", "users.id"),
        reference("user_agent_permissions_agentId_fkey", "agentId", "agents.id"),
        reference("user_agent_permissions_granterId_fkey", "granterId", "users.id", ondelete="SET NULL"),
        Index("user_agent_permissions_userId_agentId_key", "userId", "agentId", unique=True),
        Index("user_agent_permissions_agentId_idx", "agentId"),
        Index("user_agent_permissions_granterId_idx", "granterId"),
        {"comment": "Which user may use which agent."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    granterId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Who gave it; none after that user is gone.")
    grantedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="agentPermissions", foreign_keys=[userId])
    granter: Mapped["User | None"] = relationship(back_populates="grantedPermissions", foreign_keys=[granterId])
    agent: Mapped["Agent"] = relationship(back_populates="permissions")


class Artifact(Base):
    """Something an agent made; versions of it name the one they came from."""

    __tablename__ = "artifacts"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="artifacts_pkey"),
        reference("artifacts_agentId_fkey", "agentId", "agents.id"),
        reference("artifacts_parentId_fkey", "parentId", "artifacts.id", ondelete="SET NULL"),
        reference("artifacts_ownerId_fkey", "ownerId", "users.id"),
        reference("artifacts_conversationId_fkey", "conversationId", "conversations.id", ondelete="SET NULL"),
        Index("artifacts_agentId_idx", "agentId"),
        Index("artifacts_ownerId_idx", "ownerId"),
        Index("artifacts_conversationId_idx", "conversationId"),
        Index("artifacts_parentId_idx", "parentId"),
        {"comment": "What agents made; a version names the one it came from."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    ownerId: Mapped[uuid.UUID] = mapped_column(UUID(), comment="The user that it was made for.")
    conversationId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Where it was made.")
    name: Mapped[str] = mapped_column(String(500))
    type: Mapped[str] = mapped_column(String(50), comment="What kind of thing it is: code, document, image.")
    content: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"), comment="1 for the first.")
    parentId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The version that it came from.")
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB)
    tags: Mapped[Json | None] = mapped_column(JSONB, comment="An array of strings.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    agent: Mapped["Agent"] = relationship(back_populates="artifacts")
    owner: Mapped["User"] = relationship(back_populates="artifacts")
    conversation: Mapped["Conversation | None"] = relationship(back_populates="artifacts")
    parent: Mapped["Artifact | None"] = relationship(back_populates="versions", remote_side="Artifact.id")
    versions: Mapped[list["Artifact"]] = children("parent")
