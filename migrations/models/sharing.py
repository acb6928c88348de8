"""Files shown to others: by a link, by e-mail or to a user, and who had them."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, PrimaryKeyConstraint, String, text
from sqlalchemy.dialects.postgresql import INET, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Timestamp, children, enum_type, reference

if TYPE_CHECKING:
    from migrations.models.identity import User
    from migrations.models.storage import StorageFile


class FileAction(enum.StrEnum):
    """What was done with a file."""

    UPLOAD = "UPLOAD"
    DOWNLOAD = "DOWNLOAD"
    VIEW = "VIEW"
    DELETE = "DELETE"
    SHARE = "SHARE"
    UPDATE = "UPDATE"


class ShareType(enum.StrEnum):
    """To whom a file is shown."""

    LINK = "LINK"
    EMAIL = "EMAIL"
    USER = "USER"


RECIPIENT = """CASE type
  WHEN 'LINK' THEN token IS NOT NULL AND "sharedWithEmail" IS NULL AND "sharedWithUserId" IS NULL
  WHEN 'EMAIL' THEN "sharedWithEmail" IS NOT NULL AND "sharedWithUserId" IS NULL
  ELSE "sharedWithUserId" IS NOT NULL AND "sharedWithEmail" IS NULL AND token IS NULL
END"""


class FileShare(Base):
    """Leave to read a file: for who has a link, for an address, or for a user."""

    __tablename__ = "file_shares"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="file_shares_pkey"),
        CheckConstraint(RECIPIENT, name="file_shares_recipient_check"),
        CheckConstraint('"maxDownloads" > 0', name="file_shares_maxDownloads_check"),
        CheckConstraint("downloads >= 0", name="file_shares_downloads_check"),
        CheckConstraint('"expiresAt" > "createdAt"', name="file_shares_expiresAt_check"),
        reference("file_shares_fileId_fkey", "fileId", "storage_files.id"),
        reference("file_shares_sharedBy_fkey", "sharedBy", "users.id"),
        reference("file_shares_sharedWithUserId_fkey", "sharedWithUserId", "users.id"),
        Index("file_shares_token_key", "token", unique=True),
        Index(
            "file_shares_fileId_sharedWithUserId_key",
            "fileId",
            "sharedWithUserId",
            unique=True,
            postgresql_where=text("""type = 'USER' AND "revokedAt" IS NULL"""),
        ),
        Index("file_shares_fileId_idx", "fileId"),
        Index("file_shares_sharedBy_idx", "sharedBy"),
        Index("file_shares_sharedWithUserId_idx", "sharedWithUserId"),
        Index(
            "file_shares_sharedWithEmail_idx",
            text('lower("sharedWithEmail")'),
            postgresql_where=text('"sharedWithEmail" IS NOT NULL'),
        ),
        Index("file_shares_expiresAt_idx", "expiresAt", postgresql_where=text('"revokedAt" IS NULL')),
        {"comment": "Who may read a file beside its owner."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    fileId: Mapped[uuid.UUID] = mapped_column(UUID())
    sharedBy: Mapped[uuid.UUID] = mapped_column(UUID())
    type: Mapped[ShareType] = mapped_column(enum_type(ShareType), comment="Which of the next three columns counts.")
    token: Mapped[str | None] = mapped_column(String(255), comment="What the link ends in: who has it may read.")
    sharedWithEmail: Mapped[str | None] = mapped_column(String(255))
    sharedWithUserId: Mapped[uuid.UUID | None] = mapped_column(UUID())
    canEdit: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    maxDownloads: Mapped[int | None] = mapped_column(Integer, comment="How often it may be read; none is no limit.")
    downloads: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    expiresAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    revokedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When it was taken back.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    file: Mapped["StorageFile"] = relationship(back_populates="shares")
    owner: Mapped["User"] = relationship(back_populates="sharesGiven", foreign_keys=[sharedBy])
    recipient: Mapped["User | None"] = relationship(back_populates="sharesReceived", foreign_keys=[sharedWithUserId])
    accessLogs: Mapped[list["FileAccessLog"]] = children("share")


class FileAccessLog(Base):
    """Something done with a file, kept after the file is gone."""

    __tablename__ = "file_access_logs"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="file_access_logs_pkey"),
        reference("file_access_logs_fileId_fkey", "fileId", "storage_files.id", ondelete="SET NULL"),
        reference("file_access_logs_userId_fkey", "userId", "users.id", ondelete="SET NULL"),
        reference("file_access_logs_shareId_fkey", "shareId", "file_shares.id", ondelete="SET NULL"),
        Index("file_access_logs_fileId_timestamp_idx", "fileId", text('"timestamp" DESC')),
        Index("file_access_logs_userId_timestamp_idx", "userId", text('"timestamp" DESC')),
        Index("file_access_logs_shareId_idx", "shareId"),
        Index("file_access_logs_timestamp_idx", "timestamp", postgresql_using="brin"),
        {"comment": "What was done with files, kept after a file is gone; only added to."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    fileId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="None after the file is gone.")
    userId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Who did it; none for somebody with a link.")
    shareId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="By which leave, where it was not the owner.")
    fileName: Mapped[str] = mapped_column(String(255), comment="The file's name then.")
    action: Mapped[FileAction] = mapped_column(enum_type(FileAction))
    ipAddress: Mapped[str | None] = mapped_column(INET)
    userAgent: Mapped[str | None] = mapped_column(String(500))
    timestamp: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    file: Mapped["StorageFile | None"] = relationship(back_populates="accessLogs")
    user: Mapped["User | None"] = relationship(back_populates="fileAccessLogs")
    share: Mapped["FileShare | None"] = relationship(back_populates="accessLogs")
