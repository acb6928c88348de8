"""Files of users: where they lie, how much room they take, who may read them and who did."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, PrimaryKeyConstraint, String, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, children, enum_type, reference
from migrations.models.identity import SubscriptionTier

if TYPE_CHECKING:
    from migrations.models.identity import User
    from migrations.models.sharing import FileAccessLog, FileShare


class StorageProvider(enum.StrEnum):
    """Where a file's bytes lie."""

    VERCEL_BLOB = "VERCEL_BLOB"
    LOCAL = "LOCAL"
    AWS_S3 = "AWS_S3"
    CLOUDFLARE_R2 = "CLOUDFLARE_R2"


class FileAccessLevel(enum.StrEnum):
    """Who may read a file."""

    PRIVATE = "PRIVATE"
    INTERNAL = "INTERNAL"
    PUBLIC = "PUBLIC"
    SHARED = "SHARED"


class FileUsageContext(enum.StrEnum):
    """What a file is for."""

    THEME = "THEME"
    AVATAR = "AVATAR"
    TICKET = "TICKET"
    ARTIFACT = "ARTIFACT"
    HEALTH = "HEALTH"
    FINANCE = "FINANCE"
    BACKUP = "BACKUP"
    TEMP = "TEMP"
    OTHER = "OTHER"


class StorageFolder(Base):
    """A folder of a user's files."""

    __tablename__ = "storage_folders"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="storage_folders_pkey"),
        CheckConstraint("""name <> '' AND name !~ '/'""", name="storage_folders_name_check"),
        CheckConstraint('"parentId" <> id', name="storage_folders_parentId_check"),
        reference("storage_folders_userId_fkey", "userId", "users.id"),
        reference("storage_folders_parentId_fkey", "parentId", "storage_folders.id"),
        Index(
            "storage_folders_userId_parentId_name_key",
            "userId",
            "parentId",
            "name",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("storage_folders_parentId_idx", "parentId"),
        {"comment": "Folders of users' files; a name is unique in its folder."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    parentId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The folder it lies in; none at the top.")
    name: Mapped[str] = mapped_column(String(255))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="storageFolders")
    parent: Mapped["StorageFolder | None"] = relationship(back_populates="folders", remote_side="StorageFolder.id")
    folders: Mapped[list["StorageFolder"]] = children("parent")
    files: Mapped[list["StorageFile"]] = children("folder")


class StorageFile(Base):
    """A file of a user: where its bytes lie, and what it is for."""

    __tablename__ = "storage_files"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="storage_files_pkey"),
        CheckConstraint('"sizeBytes" >= 0', name="storage_files_sizeBytes_check"),
        CheckConstraint("checksum ~ '^[0-9a-f]{64}$'", name="storage_files_checksum_check"),
        CheckConstraint(
            """"usageContext" <> 'TEMP' OR "expiresAt" IS NOT NULL""", name="storage_files_expiresAt_check"
        ),
        CheckConstraint("jsonb_typeof(tags) = 'array'", name="storage_files_tags_check"),
        reference("storage_files_userId_fkey", "userId", "users.id"),
        reference("storage_files_folderId_fkey", "folderId", "storage_folders.id", ondelete="SET NULL"),
        Index("storage_files_provider_storageKey_key", "provider", "storageKey", unique=True),
        Index("storage_files_userId_createdAt_idx", "userId", text('"createdAt" DESC')),
        Index("storage_files_folderId_name_idx", "folderId", "name"),
        Index(
            "storage_files_usageContext_contextId_idx",
            "usageContext",
            "contextId",
            postgresql_where=text('"contextId" IS NOT NULL'),
        ),
        Index("storage_files_expiresAt_idx", "expiresAt", postgresql_where=text('"deletedAt" IS NULL')),
        Index("storage_files_deletedAt_idx", "deletedAt", postgresql_where=text('"deletedAt" IS NOT NULL')),
        Index("storage_files_userId_checksum_idx", "userId", "checksum"),
        Index("storage_files_tags_idx", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        {"comment": "Files of users; the bytes lie with the provider."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID(), comment="Whose quota it counts against.")
    folderId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The folder it lies in; none at the top.")
    name: Mapped[str] = mapped_column(String(255))
    mimeType: Mapped[str] = mapped_column(String(255))
    sizeBytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64), comment="SHA-256 of the bytes, hexadecimal.")
    provider: Mapped[StorageProvider] = mapped_column(enum_type(StorageProvider), server_default=text("'VERCEL_BLOB'"))
    storageKey: Mapped[str] = mapped_column(String(1000), comment="The provider's name for it.")
    url: Mapped[str | None] = mapped_column(String(2000), comment="Where the provider serves it, if it does.")
    accessLevel: Mapped[FileAccessLevel] = mapped_column(enum_type(FileAccessLevel), server_default=text("'PRIVATE'"))
    usageContext: Mapped[FileUsageContext] = mapped_column(enum_type(FileUsageContext), server_default=text("'OTHER'"))
    contextId: Mapped[uuid.UUID | None] = mapped_column(
        UUID(), comment="What it belongs to: a row of the table that usageContext means."
    )
    tags: Mapped[Json] = mapped_column(JSONB, server_default=text("'[]'"), comment="An array of strings.")
    metadata_: Mapped[Json | None] = mapped_column("metadata", JSONB, comment="Width, height, length, pages: by kind.")
    expiresAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When it may be deleted by itself.")
    deletedAt: Mapped[dt.datetime | None] = mapped_column(
        Timestamp, comment="When the user deleted it; from then on it takes no room, and its bytes may go."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="storageFiles")
    folder: Mapped["StorageFolder | None"] = relationship(back_populates="files")
    shares: Mapped[list["FileShare"]] = children("file")
    accessLogs: Mapped[list["FileAccessLog"]] = children("file")


class StorageQuota(Base):
    """How much room a user has, and how much of it is taken."""

    __tablename__ = "storage_quotas"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="storage_quotas_pkey"),
        CheckConstraint(
            '"maxStorage" >= 0 AND "maxFileSize" >= 0 AND "maxFiles" >= 0', name="storage_quotas_limits_check"
        ),
        CheckConstraint('"maxFileSize" <= "maxStorage"', name="storage_quotas_maxFileSize_check"),
        CheckConstraint('"usedStorage" >= 0 AND "usedFiles" >= 0', name="storage_quotas_used_check"),
        reference("storage_quotas_userId_fkey", "userId", "users.id"),
        Index("storage_quotas_userId_key", "userId", unique=True),
        Index("storage_quotas_subscriptionTier_idx", "subscriptionTier"),
        {"comment": "How much room each user has for files, and how much is taken."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    maxStorage: Mapped[int] = mapped_column(BigInteger, comment="Bytes of all files together.")
    maxFileSize: Mapped[int] = mapped_column(BigInteger, comment="Bytes of one file.")
    maxFiles: Mapped[int] = mapped_column(Integer)
    usedStorage: Mapped[int] = mapped_column(
        BigInteger,
        server_default=text("0"),
        comment="Bytes of the files that are not deleted; kept by a trigger. May exceed the limit after a change.",
    )
    usedFiles: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="How many files are not deleted; kept by a trigger."
    )
    subscriptionTier: Mapped[SubscriptionTier] = mapped_column(
        enum_type(SubscriptionTier), server_default=text("'FREE'"), comment="What the limits were given for."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship(back_populates="storageQuota")
