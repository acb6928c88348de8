"""Who uses the application: users, their accounts and sessions, tokens and invitations."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, Date, Index, Integer, PrimaryKeyConstraint, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, enum_type, reference

if TYPE_CHECKING:
    from migrations.models.agents import Agent, Artifact, ChatSession, UserAgentPermission
    from migrations.models.audit import AuditLog
    from migrations.models.sharing import FileAccessLog, FileShare
    from migrations.models.storage import StorageFile, StorageFolder, StorageQuota
    from migrations.models.support import SupportMessage, SupportTicket
    from migrations.models.usage import MonthlyUsage, UsageAlert, UsageLog


class UserRole(enum.StrEnum):
    """What a user may do."""

    SUPER_ADMIN = "SUPER_ADMIN"
    ADMIN = "ADMIN"
    INVITED_AGENT = "INVITED_AGENT"
    INVITED_STORAGE = "INVITED_STORAGE"
    SUBSCRIBER = "SUBSCRIBER"
    MANAGER = "MANAGER"
    DEVELOPER = "DEVELOPER"
    USER = "USER"
    GUEST = "GUEST"


class SubscriptionTier(enum.StrEnum):
    """What a user pays for."""

    FREE = "FREE"
    BASIC = "BASIC"
    PRO = "PRO"
    ENTERPRISE = "ENTERPRISE"
    CUSTOM = "CUSTOM"
    UNLIMITED = "UNLIMITED"


class InvitationStatus(enum.StrEnum):
    """What became of an invitation."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class User(Base):
    """A person, or a service account."""

    __tablename__ = "users"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="users_pkey"),
        Index("users_email_key", "email", unique=True),
        Index("users_role_idx", "role"),
        Index("users_role_isActive_idx", "role", "isActive", postgresql_where=text('"isActive"')),
        Index("users_permissions_idx", "permissions", postgresql_using="gin"),
        Index("users_subscription_tier_idx", "subscriptionTier"),
        Index("users_last_interaction_idx", text('"lastInteraction" DESC')),
        {"comment": "People and service accounts; who has a trail is deactivated, not deleted."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    email: Mapped[str] = mapped_column(String(255))
    emailVerified: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    name: Mapped[str | None] = mapped_column(String(255))
    displayName: Mapped[str | None] = mapped_column(String(255))
    avatar: Mapped[str | None] = mapped_column(String(500))
    dateOfBirth: Mapped[dt.date | None] = mapped_column(Date)
    timezone: Mapped[str] = mapped_column(
        String(100), server_default=text("'America/Mexico_City'"), comment="A name of the IANA time zone database."
    )
    language: Mapped[str] = mapped_column(String(10), server_default=text("'es'"), comment="An ISO 639-1 code.")
    bio: Mapped[str | None] = mapped_column(Text)
    role: Mapped[UserRole] = mapped_column(enum_type(UserRole), server_default=text("'USER'"))
    permissions: Mapped[Json | None] = mapped_column(
        JSONB, comment="What the user may do beside what the role gives, by name."
    )
    isActive: Mapped[bool] = mapped_column(
        Boolean,
        server_default=text("true"),
        comment="Whether the user may log in; who has a trail is deactivated instead of deleted.",
    )
    personalityProfile: Mapped[Json | None] = mapped_column(JSONB, comment="What agents have learned of the user.")
    aiProfileLastUpdate: Mapped[dt.datetime | None] = mapped_column(
        Timestamp, comment="When personalityProfile was last made."
    )
    subscriptionTier: Mapped[SubscriptionTier] = mapped_column(
        enum_type(SubscriptionTier), server_default=text("'FREE'")
    )
    subscriptionId: Mapped[str | None] = mapped_column(
        String(255), comment="The payment provider's name for the subscription."
    )
    subscriptionStart: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    subscriptionEnd: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    customLimits: Mapped[Json | None] = mapped_column(
        JSONB, comment="Limits that stand instead of the tier's, by name."
    )
    totalMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    totalTokensUsed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    monthlyMessages: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="Since lastResetAt.")
    monthlyTokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), comment="Since lastResetAt.")
    lastResetAt: Mapped[dt.datetime] = mapped_column(
        Timestamp,
        server_default=text("CURRENT_TIMESTAMP"),
        comment="When the counts of the month were last set to zero.",
    )
    lastInteraction: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    accounts: Mapped[list["Account"]] = children("user")
    authSessions: Mapped[list["AuthSession"]] = children("user")
    invitations: Mapped[list["Invitation"]] = children("inviter")
    agents: Mapped[list["Agent"]] = children("creator")
    chatSessions: Mapped[list["ChatSession"]] = children("user")
    agentPermissions: Mapped[list["UserAgentPermission"]] = relationship(
        back_populates="user", foreign_keys="UserAgentPermission.userId", passive_deletes="all"
    )
    grantedPermissions: Mapped[list["UserAgentPermission"]] = relationship(
        back_populates="granter", foreign_keys="UserAgentPermission.granterId", passive_deletes="all"
    )
    artifacts: Mapped[list["Artifact"]] = children("owner")
    usageLogs: Mapped[list["UsageLog"]] = children("user")
    monthlyUsage: Mapped[list["MonthlyUsage"]] = children("user")
    usageAlerts: Mapped[list["UsageAlert"]] = children("user")
    auditLogs: Mapped[list["AuditLog"]] = children("admin")
    supportTickets: Mapped[list["SupportTicket"]] = relationship(
        back_populates="user", foreign_keys="SupportTicket.userId", passive_deletes="all"
    )
    assignedTickets: Mapped[list["SupportTicket"]] = relationship(
        back_populates="assignee", foreign_keys="SupportTicket.assignedTo", passive_deletes="all"
    )
    supportMessages: Mapped[list["SupportMessage"]] = children("author")
    storageFolders: Mapped[list["StorageFolder"]] = children("user")
    storageFiles: Mapped[list["StorageFile"]] = children("user")
    storageQuota: Mapped["StorageQuota | None"] = children("user")
    sharesGiven: Mapped[list["FileShare"]] = relationship(
        back_populates="owner", foreign_keys="FileShare.sharedBy", passive_deletes="all"
    )
    sharesReceived: Mapped[list["FileShare"]] = relationship(
        back_populates="recipient", foreign_keys="FileShare.sharedWithUserId", passive_deletes="all"
    )
    fileAccessLogs: Mapped[list["FileAccessLog"]] = children("user")


class Account(Base):
    """A user's account with an identity provider."""

    __tablename__ = "accounts"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="accounts_pkey"),
        reference("accounts_userId_fkey", "userId", "users.id"),
        Index("accounts_provider_providerAccountId_key", "provider", "providerAccountId", unique=True),
        Index("accounts_userId_idx", "userId"),
        {"comment": "Accounts of users with identity providers."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    type: Mapped[str] = mapped_column(String(50), comment="How it logs in: oauth, oidc, email or credentials.")
    provider: Mapped[str] = mapped_column(String(100), comment="The identity provider.")
    providerAccountId: Mapped[str] = mapped_column(String(255), comment="The provider's name for the user.")
    refresh_token: Mapped[str | None] = mapped_column(Text, info={"encrypted": True})
    access_token: Mapped[str | None] = mapped_column(Text, info={"encrypted": True})
    expires_at: Mapped[int | None] = mapped_column(Integer, comment="When access_token ends, in seconds since 1970.")
    token_type: Mapped[str | None] = mapped_column(String(50))
    scope: Mapped[str | None] = mapped_column(Text)
    id_token: Mapped[str | None] = mapped_column(Text, info={"encrypted": True})
    session_state: Mapped[str | None] = mapped_column(
        String(255), comment="What the provider wants back when the session ends."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="accounts")


class AuthSession(Base):
    """A login that has not ended."""

    __tablename__ = "auth_sessions"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="auth_sessions_pkey"),
        reference("auth_sessions_userId_fkey", "userId", "users.id"),
        Index("auth_sessions_sessionToken_key", "sessionToken", unique=True),
        Index("auth_sessions_userId_idx", "userId"),
        {"comment": "Logins that have not ended."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    sessionToken: Mapped[str] = mapped_column(String(500), comment="What the browser's cookie holds.")
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    expires: Mapped[dt.datetime] = mapped_column(Timestamp)

    user: Mapped["User"] = relationship(back_populates="authSessions")


class VerificationToken(Base):
    """A token sent to an address to prove that it is read; the table has no primary key."""

    __tablename__ = "verification_tokens"
    __table_args__ = (
        Index("verification_tokens_token_key", "token", unique=True),
        Index("verification_tokens_identifier_token_key", "identifier", "token", unique=True),
        {"comment": "Tokens sent to an address to prove that it is read."},
    )
    __mapper_args__ = {"primary_key": ("identifier", "token")}  # noqa: RUF012

    identifier: Mapped[str] = mapped_column(String(255), comment="The address that the token was sent to.")
    token: Mapped[str] = mapped_column(String(500))
    expires: Mapped[dt.datetime] = mapped_column(Timestamp)


class Invitation(Base):
    """An invitation by a user, with the role it gives."""

    __tablename__ = "invitations"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="invitations_pkey"),
        reference("invitations_invitedBy_fkey", "invitedBy", "users.id"),
        Index("invitations_token_key", "token", unique=True),
        Index("invitations_email_idx", "email"),
        Index("invitations_invitedBy_idx", "invitedBy"),
        {"comment": "Invitations by users, each with the role that it gives."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    email: Mapped[str] = mapped_column(String(255), comment="Whom the invitation was sent to.")
    token: Mapped[str] = mapped_column(String(500), comment="What the link in the e-mail ends in.")
    role: Mapped[UserRole] = mapped_column(enum_type(UserRole), comment="The role that the invited gets.")
    status: Mapped[InvitationStatus] = mapped_column(enum_type(InvitationStatus), server_default=text("'PENDING'"))
    invitedBy: Mapped[uuid.UUID] = mapped_column(UUID())
    expiresAt: Mapped[dt.datetime] = mapped_column(Timestamp)
    acceptedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    inviter: Mapped["User"] = relationship(back_populates="invitations")
