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
    from migrations.models.agents import Agent
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
        reference("usage_logs_userId_fkey", "userId", "users.id"),
        reference("usage_logs_agentId_fkey", "agentId", "agents.id"),
        Index("usage_logs_userId_timestamp_idx", "userId", text('"timestamp" DESC')),
        Index("usage_logs_agentId_timestamp_idx", "agentId", text('"timestamp" DESC')),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID] = mapped_column(UUID())
    conversationId: Mapped[uuid.UUID | None] = mapped_column(UUID())
    messageId: Mapped[str | None] = mapped_column(String(255))
    tokensInput: Mapped[int] = mapped_column(Integer)
    tokensOutput: Mapped[int] = mapped_column(Integer)
    totalTokens: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(String(100))
    costInput: Mapped[Decimal] = mapped_column(Numeric(10, 6))
    costOutput: Mapped[Decimal] = mapped_column(Numeric(10, 6))
    totalCost: Mapped[Decimal] = mapped_column(Numeric(10, 6))
    duration: Mapped[int | None] = mapped_column(Integer)
    success: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    errorMessage: Mapped[str | None] = mapped_column(Text)
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="usageLogs")
    agent: Mapped["Agent"] = relationship(back_populates="usageLogs")


class MonthlyUsage(Base):
    """A user's usage in one month."""

    __tablename__ = "monthly_usage"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="monthly_usage_pkey"),
        CheckConstraint('"month" BETWEEN 1 AND 12', name="monthly_usage_month_check"),
        reference("monthly_usage_userId_fkey", "userId", "users.id"),
        Index("monthly_usage_userId_year_month_key", "userId", "year", "month", unique=True),
        Index("monthly_usage_userId_idx", "userId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    year: Mapped[int] = mapped_column(Integer)
    month: Mapped[int] = mapped_column(Integer)
    totalMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    totalTokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    totalCost: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default=text("0"))
    agentUsage: Mapped[Json] = mapped_column(JSONB)
    limitMessages: Mapped[int | None] = mapped_column(Integer)
    limitTokens: Mapped[int | None] = mapped_column(BigInteger)
    exceededLimit: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    warningsSent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp)

    user: Mapped["User"] = relationship(back_populates="monthlyUsage")


class UsageAlert(Base):
    """A threshold of usage, and whether it was reached."""

    __tablename__ = "usage_alerts"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="usage_alerts_pkey"),
        reference("usage_alerts_userId_fkey", "userId", "users.id"),
        Index("usage_alerts_userId_idx", "userId"),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    type: Mapped[AlertType] = mapped_column(enum_type(AlertType))
    threshold: Mapped[int] = mapped_column(Integer)
    triggered: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    resolvedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="usageAlerts")
