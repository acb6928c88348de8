"""Help for users: their tickets, and what is said in them."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, CheckConstraint, Index, PrimaryKeyConstraint, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, enum_type, reference, searched

if TYPE_CHECKING:
    from migrations.models.agents import Agent, Conversation
    from migrations.models.identity import User


class TicketCategory(enum.StrEnum):
    """What a ticket is about."""

    BUG = "BUG"
    FEATURE = "FEATURE"
    QUESTION = "QUESTION"
    ACCOUNT = "ACCOUNT"
    BILLING = "BILLING"
    PERFORMANCE = "PERFORMANCE"
    OTHER = "OTHER"


class TicketPriority(enum.StrEnum):
    """How much a ticket hurries, least first."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    URGENT = "URGENT"


class TicketStatus(enum.StrEnum):
    """Where a ticket stands."""

    OPEN = "OPEN"
    IN_PROGRESS = "IN_PROGRESS"
    WAITING_USER = "WAITING_USER"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


IS_OPEN = text("""status IN ('OPEN', 'IN_PROGRESS', 'WAITING_USER')""")


class SupportTicket(Base):
    """A user's request for help."""

    __tablename__ = "support_tickets"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="support_tickets_pkey"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="support_tickets_rating_check"),
        CheckConstraint(
            """status <> 'RESOLVED' OR "resolvedAt" IS NOT NULL""", name="support_tickets_resolvedAt_check"
        ),
        CheckConstraint(
            """status NOT IN ('CLOSED', 'CANCELLED') OR "closedAt" IS NOT NULL""", name="support_tickets_closedAt_check"
        ),
        CheckConstraint("jsonb_typeof(tags) = 'array'", name="support_tickets_tags_check"),
        reference("support_tickets_userId_fkey", "userId", "users.id"),
        reference("support_tickets_assignedTo_fkey", "assignedTo", "users.id", ondelete="SET NULL"),
        reference("support_tickets_agentId_fkey", "agentId", "agents.id", ondelete="SET NULL"),
        reference("support_tickets_conversationId_fkey", "conversationId", "conversations.id", ondelete="SET NULL"),
        Index("support_tickets_userId_createdAt_idx", "userId", text('"createdAt" DESC')),
        Index("support_tickets_assignedTo_status_idx", "assignedTo", "status"),
        Index("support_tickets_agentId_idx", "agentId"),
        Index("support_tickets_conversationId_idx", "conversationId"),
        Index("support_tickets_open_priority_idx", text("priority DESC"), "createdAt", postgresql_where=IS_OPEN),
        Index("support_tickets_category_createdAt_idx", "category", text('"createdAt" DESC')),
        Index("support_tickets_tags_idx", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        {"comment": "Requests for help by users."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID(), comment="Who asks.")
    assignedTo: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The person who takes care of it.")
    agentId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The agent that answers before a person does.")
    conversationId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The conversation that it is about.")
    category: Mapped[TicketCategory] = mapped_column(enum_type(TicketCategory))
    priority: Mapped[TicketPriority] = mapped_column(enum_type(TicketPriority), server_default=text("'MEDIUM'"))
    status: Mapped[TicketStatus] = mapped_column(enum_type(TicketStatus), server_default=text("'OPEN'"))
    subject: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[Json] = mapped_column(JSONB, server_default=text("'[]'"), comment="An array of strings.")
    rating: Mapped[int | None] = mapped_column(SmallInteger, comment="How well it was answered, 1 to 5, by who asked.")
    firstResponseAt: Mapped[dt.datetime | None] = mapped_column(
        Timestamp, comment="When the first answer was written, by a person or an agent."
    )
    resolvedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    closedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When it was closed or cancelled.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="supportTickets", foreign_keys=[userId])
    assignee: Mapped["User | None"] = relationship(back_populates="assignedTickets", foreign_keys=[assignedTo])
    agent: Mapped["Agent | None"] = relationship(back_populates="supportTickets")
    conversation: Mapped["Conversation | None"] = relationship(back_populates="supportTickets")
    messages: Mapped[list["SupportMessage"]] = children("ticket")


class SupportMessage(Base):
    """Something said in a ticket, by a person or by an agent."""

    __tablename__ = "support_messages"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="support_messages_pkey"),
        CheckConstraint("""num_nonnulls("authorId", "agentId") <= 1""", name="support_messages_author_check"),
        CheckConstraint("content <> ''", name="support_messages_content_check"),
        reference("support_messages_ticketId_fkey", "ticketId", "support_tickets.id"),
        reference("support_messages_authorId_fkey", "authorId", "users.id", ondelete="SET NULL"),
        reference("support_messages_agentId_fkey", "agentId", "agents.id", ondelete="SET NULL"),
        Index("support_messages_ticketId_createdAt_idx", "ticketId", "createdAt"),
        Index("support_messages_authorId_idx", "authorId"),
        Index("support_messages_agentId_idx", "agentId"),
        searched("support_messages_content_spanish_idx", "content", "spanish"),
        searched("support_messages_content_english_idx", "content", "english"),
        {"comment": "What is said in tickets."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    ticketId: Mapped[uuid.UUID] = mapped_column(UUID())
    authorId: Mapped[uuid.UUID | None] = mapped_column(
        UUID(), comment="The person who wrote it; none for an agent's, or after the person is gone."
    )
    agentId: Mapped[uuid.UUID | None] = mapped_column(
        UUID(), comment="The agent that wrote it; none for a person's, or after the agent is gone."
    )
    content: Mapped[str] = mapped_column(Text)
    isInternal: Mapped[bool] = mapped_column(
        Boolean, server_default=text("false"), comment="Whether it is a note that the user does not see."
    )
    readAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When the other side first read it.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    ticket: Mapped["SupportTicket"] = relationship(back_populates="messages")
    author: Mapped["User | None"] = relationship(back_populates="supportMessages")
    agent: Mapped["Agent | None"] = relationship(back_populates="supportMessages")
