"""Other services that agents work with for a user, and each time that something was fetched from them."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Index, Integer, PrimaryKeyConstraint, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, enum_type, reference
from migrations.models.protected import encrypted, one_of
from migrations.models.rag import SyncStatus

if TYPE_CHECKING:
    from migrations.models.identity import User


class McpIntegration(Base):
    """A user's leave for agents to work with an account of another service."""

    __tablename__ = "mcp_integrations"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="mcp_integrations_pkey"),
        reference("mcp_integrations_userId_fkey", "userId", "users.id"),
        *encrypted("mcp_integrations", "accessToken", "refreshToken"),
        CheckConstraint("jsonb_typeof(scopes) = 'array'", name="mcp_integrations_scopes_check"),
        CheckConstraint("jsonb_typeof(config) = 'object'", name="mcp_integrations_config_check"),
        CheckConstraint('"syncIntervalMinutes" > 0', name="mcp_integrations_syncIntervalMinutes_check"),
        Index("mcp_integrations_userId_provider_account_key", "userId", "provider", "account", unique=True),
        Index(
            "mcp_integrations_nextSyncAt_idx",
            "nextSyncAt",
            postgresql_where=text('"isActive"'),
        ),
        Index(
            "mcp_integrations_tokenExpiresAt_idx",
            "tokenExpiresAt",
            postgresql_where=text('"isActive"'),
        ),
        Index(
            "mcp_integrations_scopes_idx", "scopes", postgresql_using="gin", postgresql_ops={"scopes": "jsonb_path_ops"}
        ),
        {"comment": "Accounts of other services that agents may work with."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    provider: Mapped[str] = mapped_column(String(50), comment="gmail, notion …")
    account: Mapped[str] = mapped_column(String(255), comment="The service's name for the account.")
    serverUrl: Mapped[str | None] = mapped_column(String(500), comment="Of a server of the user's own.")
    accessToken: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True}, comment="Encrypted; none once it was revoked."
    )
    refreshToken: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    tokenExpiresAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When accessToken must be renewed.")
    scopes: Mapped[Json] = mapped_column(
        JSONB, server_default=text("'[]'"), comment="An array of strings: what the user gave leave for."
    )
    config: Mapped[Json] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="What the provider's own integration is set to; never a secret."
    )
    isActive: Mapped[bool] = mapped_column(server_default=text("true"))
    syncIntervalMinutes: Mapped[int] = mapped_column(Integer, server_default=text("60"))
    nextSyncAt: Mapped[dt.datetime] = mapped_column(
        Timestamp, server_default=text("CURRENT_TIMESTAMP"), comment="When it is to be looked at again."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    syncLogs: Mapped[list["McpSyncLog"]] = children("integration")


class McpSyncLog(Base):
    """One time that something was fetched from another service."""

    __tablename__ = "mcp_sync_logs"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="mcp_sync_logs_pkey"),
        reference("mcp_sync_logs_integrationId_fkey", "integrationId", "mcp_integrations.id"),
        one_of("mcp_sync_logs", "trigger", "SCHEDULE", "USER", "WEBHOOK"),
        CheckConstraint('"itemsRead" >= 0', name="mcp_sync_logs_itemsRead_check"),
        CheckConstraint('"itemsChanged" BETWEEN 0 AND "itemsRead"', name="mcp_sync_logs_itemsChanged_check"),
        CheckConstraint('"finishedAt" >= "startedAt"', name="mcp_sync_logs_finishedAt_check"),
        CheckConstraint(
            """("status" IN ('COMPLETED', 'FAILED')) = ("finishedAt" IS NOT NULL)""",
            name="mcp_sync_logs_finished_check",
        ),
        CheckConstraint("""("status" = 'FAILED') = ("error" IS NOT NULL)""", name="mcp_sync_logs_error_check"),
        Index("mcp_sync_logs_integrationId_createdAt_idx", "integrationId", text('"createdAt" DESC')),
        Index(
            "mcp_sync_logs_running_key",
            "integrationId",
            unique=True,
            postgresql_where=text("""status = 'RUNNING'"""),
        ),
        Index("mcp_sync_logs_failed_idx", text('"createdAt" DESC'), postgresql_where=text("""status = 'FAILED'""")),
        {"comment": "Each time that something was fetched from another service."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    integrationId: Mapped[uuid.UUID] = mapped_column(UUID())
    status: Mapped[SyncStatus] = mapped_column(enum_type(SyncStatus), server_default=text("'PENDING'"))
    trigger: Mapped[str] = mapped_column(
        String(20), server_default=text("'SCHEDULE'"), comment="Who asked for it: time, the user, or the service."
    )
    cursor: Mapped[str | None] = mapped_column(
        String(500), comment="Where the service says that the next one is to go on."
    )
    itemsRead: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    itemsChanged: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(Text, comment="Why it failed; never a token.")
    startedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    finishedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When it was done, or failed.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    integration: Mapped["McpIntegration"] = relationship(back_populates="syncLogs")
