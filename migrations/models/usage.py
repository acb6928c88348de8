"""What was used: calls of models, usage a month, alerts."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, enum_type, reference

if TYPE_CHECKING:
    from migrations.models.agents import Agent, Conversation, Message
    from migrations.models.identity import User


class AlertType(enum.StrEnum):
    """Why an alert was raised."""

    APPROACHING_LIMIT = "APPROACHING_LIMIT"
    LIMIT_WARNING = "LIMIT_WARNING"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    UNUSUAL_ACTIVITY = "UNUSUAL_ACTIVITY"


class UsageLog(Base):
    """Tokens and cost of one call of a model."""

    __tablename__ = "usage_logs"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="usage_logs_pkey"),
        reference("usage_logs_userId_fkey", "userId", "users.id", ondelete="RESTRICT"),
        reference("usage_logs_agentId_fkey", "agentId", "agents.id"),
        reference("usage_logs_conversationId_fkey", "conversationId", "conversations.id", ondelete="SET NULL"),
        reference("usage_logs_sourceMessageId_fkey", "sourceMessageId", "messages.id", ondelete="SET NULL"),
        Index("usage_logs_conversationId_idx", "conversationId"),
        Index("usage_logs_sourceMessageId_idx", "sourceMessageId"),
        Index("usage_logs_userId_timestamp_idx", "userId", text('"timestamp" DESC')),
        Index("usage_logs_agentId_timestamp_idx", "agentId", text('"timestamp" DESC')),
        {"comment": "Tokens and cost of each call of a model; kept when the conversation goes."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    conversationId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="None after the conversation is gone.")
    sourceMessageId: Mapped[uuid.UUID | None] = mapped_column(
        UUID(), comment="The message that it was charged for; none after that is gone."
    )
    tokensInput: Mapped[int] = mapped_column(Integer)
    tokensOutput: Mapped[int] = mapped_column(Integer)
    totalTokens: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(String(100), comment="The language model that was called.")
    costInput: Mapped[Decimal] = mapped_column(Numeric(10, 6), comment="In US dollars.")
    costOutput: Mapped[Decimal] = mapped_column(Numeric(10, 6), comment="In US dollars.")
    totalCost: Mapped[Decimal] = mapped_column(Numeric(10, 6), comment="In US dollars.")
    duration: Mapped[int | None] = mapped_column(Integer, comment="Milliseconds.")
    success: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    errorMessage: Mapped[str | None] = mapped_column(Text)
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="usageLogs")
    agent: Mapped["Agent"] = relationship(back_populates="usageLogs")
    conversation: Mapped["Conversation | None"] = relationship(back_populates="usageLogs")
    message: Mapped["Message | None"] = relationship(back_populates="usageLogs")


class MonthlyUsage(Base):
    """A user's usage in one month."""

    __tablename__ = "monthly_usage"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="monthly_usage_pkey"),
        CheckConstraint('"month" BETWEEN 1 AND 12', name="monthly_usage_month_check"),
        reference("monthly_usage_userId_fkey", "userId", "users.id"),
        Index("monthly_usage_userId_year_month_key", "userId", "year", "month", unique=True),
        {"comment": "Each user's usage, one row a month."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    year: Mapped[int] = mapped_column(Integer)
    month: Mapped[int] = mapped_column(Integer)
    totalMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    totalTokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    totalCost: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default=text("0"), comment="In US dollars.")
    agentUsage: Mapped[Json] = mapped_column(JSONB, comment="Messages and tokens by agent.")
    limitMessages: Mapped[int | None] = mapped_column(Integer, comment="The limit of that month; none is no limit.")
    limitTokens: Mapped[int | None] = mapped_column(BigInteger, comment="The limit of that month; none is no limit.")
    exceededLimit: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    warningsSent: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="How many warnings the user got that month."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="monthlyUsage")


class UsageAlert(Base):
    """A threshold of usage, and whether it was reached."""

    __tablename__ = "usage_alerts"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="usage_alerts_pkey"),
        reference("usage_alerts_userId_fkey", "userId", "users.id"),
        Index("usage_alerts_userId_idx", "userId"),
        {"comment": "Thresholds of usage, and whether they were reached."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    type: Mapped[AlertType] = mapped_column(enum_type(AlertType))
    threshold: Mapped[int] = mapped_column(Integer, comment="Percent of the limit.")
    triggered: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    resolvedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="usageAlerts")
