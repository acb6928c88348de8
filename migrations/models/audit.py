"""What administrators did."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Index, PrimaryKeyConstraint, String, text
from sqlalchemy.dialects.postgresql import INET, JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, reference

if TYPE_CHECKING:
    from migrations.models.identity import User


class AuditLog(Base):
    """What an administrator did, and to what."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="audit_logs_pkey"),
        reference("audit_logs_adminId_fkey", "adminId", "users.id", ondelete="RESTRICT"),
        Index("audit_logs_adminId_idx", "adminId"),
        Index("audit_logs_timestamp_idx", text('"timestamp" DESC')),
        {"comment": "What administrators did, and to what; only added to."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    adminId: Mapped[uuid.UUID] = mapped_column(UUID(), comment="Who did it.")
    action: Mapped[str] = mapped_column(String(100), comment="What was done, such as agent.create.")
    targetType: Mapped[str | None] = mapped_column(String(100), comment="What kind of thing it was done to.")
    targetId: Mapped[uuid.UUID | None] = mapped_column(
        UUID(), comment="The id of what it was done to; of a table that targetType names."
    )
    details: Mapped[Json | None] = mapped_column(JSONB, comment="What was changed, by name.")
    ipAddress: Mapped[str | None] = mapped_column(INET)
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    admin: Mapped["User"] = relationship(back_populates="auditLogs")
