"""The application's tables as SQLAlchemy sees them; `alembic check` finds nothing that the revisions lack."""

from migrations.models.agents import Agent, Artifact, ChatSession, Conversation, Message, UserAgentPermission
from migrations.models.audit import AuditLog
from migrations.models.base import Base
from migrations.models.identity import (
    Account,
    AuthSession,
    Invitation,
    InvitationStatus,
    SubscriptionTier,
    User,
    UserRole,
    VerificationToken,
)
from migrations.models.usage import AlertType, MonthlyUsage, UsageAlert, UsageLog

__all__ = [
    "Account",
    "Agent",
    "AlertType",
    "Artifact",
    "AuditLog",
    "AuthSession",
    "Base",
    "ChatSession",
    "Conversation",
    "Invitation",
    "InvitationStatus",
    "Message",
    "MonthlyUsage",
    "SubscriptionTier",
    "UsageAlert",
    "UsageLog",
    "User",
    "UserAgentPermission",
    "UserRole",
    "VerificationToken",
]
