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
from migrations.models.sharing import FileAccessLog, FileAction, FileShare, ShareType
from migrations.models.storage import (
    FileAccessLevel,
    FileUsageContext,
    StorageFile,
    StorageFolder,
    StorageProvider,
    StorageQuota,
)
from migrations.models.support import SupportMessage, SupportTicket, TicketCategory, TicketPriority, TicketStatus
from migrations.models.triggers import add_triggers
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
    "FileAccessLevel",
    "FileAccessLog",
    "FileAction",
    "FileShare",
    "FileUsageContext",
    "Invitation",
    "InvitationStatus",
    "Message",
    "MonthlyUsage",
    "ShareType",
    "StorageFile",
    "StorageFolder",
    "StorageProvider",
    "StorageQuota",
    "SubscriptionTier",
    "SupportMessage",
    "SupportTicket",
    "TicketCategory",
    "TicketPriority",
    "TicketStatus",
    "UsageAlert",
    "UsageLog",
    "User",
    "UserAgentPermission",
    "UserRole",
    "VerificationToken",
]

add_triggers(Base.metadata)
