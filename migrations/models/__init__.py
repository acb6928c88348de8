"""The application's tables as SQLAlchemy sees them; `alembic check` finds nothing that the revisions lack."""

from migrations.models.agents import Agent, Artifact, ChatSession, Conversation, Message, UserAgentPermission
from migrations.models.audit import AuditLog
from migrations.models.base import Base
from migrations.models.care import MedicalAppointment, Medication, MedicationLog
from migrations.models.finance import Budget, FinancialAccount, FinancialProfile, Transaction, TransactionType
from migrations.models.health import Allergy, HealthMeasurement, HealthProfile, MeasurementType, MedicalCondition
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
from migrations.models.mcp import McpIntegration, McpSyncLog
from migrations.models.obligations import Debt, DebtPayment, Investment, RecurringPayment
from migrations.models.protected import add_policies
from migrations.models.rag import RagDocument, RagSettings, SyncStatus
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
    "Allergy",
    "Artifact",
    "AuditLog",
    "AuthSession",
    "Base",
    "Budget",
    "ChatSession",
    "Conversation",
    "Debt",
    "DebtPayment",
    "FileAccessLevel",
    "FileAccessLog",
    "FileAction",
    "FileShare",
    "FileUsageContext",
    "FinancialAccount",
    "FinancialProfile",
    "HealthMeasurement",
    "HealthProfile",
    "Investment",
    "Invitation",
    "InvitationStatus",
    "McpIntegration",
    "McpSyncLog",
    "MeasurementType",
    "MedicalAppointment",
    "MedicalCondition",
    "Medication",
    "MedicationLog",
    "Message",
    "MonthlyUsage",
    "RagDocument",
    "RagSettings",
    "RecurringPayment",
    "ShareType",
    "StorageFile",
    "StorageFolder",
    "StorageProvider",
    "StorageQuota",
    "SubscriptionTier",
    "SupportMessage",
    "SupportTicket",
    "SyncStatus",
    "TicketCategory",
    "TicketPriority",
    "TicketStatus",
    "Transaction",
    "TransactionType",
    "UsageAlert",
    "UsageLog",
    "User",
    "UserAgentPermission",
    "UserRole",
    "VerificationToken",
]

add_triggers(Base.metadata)
add_policies(Base.metadata)
