"""What users gave agents to read: documents, and how they are searched.

The embeddings lie in a vector store outside; a document keeps references to its own.
"""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Index, Integer, Numeric, PrimaryKeyConstraint, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, enum_type, reference
from migrations.models.protected import one_of

if TYPE_CHECKING:
    from migrations.models.agents import Agent
    from migrations.models.identity import User
    from migrations.models.storage import StorageFile


class SyncStatus(enum.StrEnum):
    """Where something that is brought from one place to another stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


def found_by_words(language: str) -> Index:
    """The index for documents found by the words of their title and summary."""
    # With the parentheses that PostgreSQL gives it, so that Alembic takes both for the same.
    words = f"""to_tsvector('{language}', ("title" || ' ') || coalesce("summary", ''))"""
    return Index(f"rag_documents_words_{language}_idx", text(words), postgresql_using="gin")


class RagDocument(Base):
    """A document that agents may read for a user."""

    __tablename__ = "rag_documents"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="rag_documents_pkey"),
        reference("rag_documents_userId_fkey", "userId", "users.id"),
        reference("rag_documents_agentId_fkey", "agentId", "agents.id"),
        reference("rag_documents_fileId_fkey", "fileId", "storage_files.id", ondelete="SET NULL"),
        one_of("rag_documents", "sourceType", "FILE", "URL", "NOTE", "INTEGRATION"),
        CheckConstraint("""("sourceType" = 'URL') = ("sourceUrl" IS NOT NULL)""", name="rag_documents_sourceUrl_check"),
        CheckConstraint("\"contentHash\" ~ '^[0-9a-f]{64}$'", name="rag_documents_contentHash_check"),
        CheckConstraint('"tokenCount" >= 0', name="rag_documents_tokenCount_check"),
        CheckConstraint("jsonb_typeof(\"vectorIds\") = 'array'", name="rag_documents_vectorIds_check"),
        CheckConstraint("jsonb_typeof(tags) = 'array'", name="rag_documents_tags_check"),
        CheckConstraint(""""status" <> 'COMPLETED' OR "indexedAt" IS NOT NULL""", name="rag_documents_indexedAt_check"),
        CheckConstraint("""("status" = 'FAILED') = ("error" IS NOT NULL)""", name="rag_documents_error_check"),
        Index("rag_documents_userId_createdAt_idx", "userId", text('"createdAt" DESC')),
        Index("rag_documents_agentId_idx", "agentId"),
        Index("rag_documents_fileId_idx", "fileId"),
        Index(
            "rag_documents_userId_agentId_contentHash_key",
            "userId",
            "agentId",
            "contentHash",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("rag_documents_waiting_idx", "createdAt", postgresql_where=text("""status IN ('PENDING', 'RUNNING')""")),
        Index("rag_documents_tags_idx", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        Index(
            "rag_documents_vectorIds_idx",
            "vectorIds",
            postgresql_using="gin",
            postgresql_ops={"vectorIds": "jsonb_path_ops"},
        ),
        found_by_words("spanish"),
        found_by_words("english"),
        {"comment": "Documents that agents may read for their user."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    agentId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The one agent that it is for; none for all.")
    fileId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="The stored file that it was read from.")
    title: Mapped[str] = mapped_column(String(500))
    summary: Mapped[str | None] = mapped_column(Text, comment="What it says, in short; the whole is at its source.")
    sourceType: Mapped[str] = mapped_column(String(20), server_default=text("'FILE'"))
    sourceUrl: Mapped[str | None] = mapped_column(String(2000), comment="Of a page only.")
    contentHash: Mapped[str] = mapped_column(String(64), comment="SHA-256 of what was read, hexadecimal.")
    language: Mapped[str] = mapped_column(String(10), server_default=text("'es'"))
    tokenCount: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    namespace: Mapped[str] = mapped_column(
        String(255), server_default=text("'default'"), comment="The part of the vector store that the vectors lie in."
    )
    vectorIds: Mapped[Json] = mapped_column(
        JSONB, server_default=text("'[]'"), comment="An array of the vector store's names for its parts, in order."
    )
    tags: Mapped[Json] = mapped_column(JSONB, server_default=text("'[]'"), comment="An array of strings.")
    status: Mapped[SyncStatus] = mapped_column(
        enum_type(SyncStatus), server_default=text("'PENDING'"), comment="How far it is on its way to the vector store."
    )
    error: Mapped[str | None] = mapped_column(Text, comment="Why it did not get there.")
    indexedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When the vectors were last written.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    agent: Mapped["Agent | None"] = relationship()
    file: Mapped["StorageFile | None"] = relationship()


class RagSettings(Base):
    """How a user's documents are cut up and searched."""

    __tablename__ = "rag_settings"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="rag_settings_pkey"),
        reference("rag_settings_userId_fkey", "userId", "users.id"),
        CheckConstraint('"chunkTokens" BETWEEN 50 AND 8000', name="rag_settings_chunkTokens_check"),
        CheckConstraint(
            '"overlapTokens" >= 0 AND "overlapTokens" < "chunkTokens"', name="rag_settings_overlapTokens_check"
        ),
        CheckConstraint('"topK" BETWEEN 1 AND 100', name="rag_settings_topK_check"),
        CheckConstraint('"minScore" BETWEEN 0 AND 1', name="rag_settings_minScore_check"),
        Index("rag_settings_userId_key", "userId", unique=True),
        {"comment": "How users' documents are cut up and searched, one row a user."},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    isEnabled: Mapped[bool] = mapped_column(server_default=text("true"), comment="Whether agents may search at all.")
    embeddingModel: Mapped[str] = mapped_column(String(100), server_default=text("'text-embedding-3-small'"))
    chunkTokens: Mapped[int] = mapped_column(Integer, server_default=text("800"), comment="How long a part is.")
    overlapTokens: Mapped[int] = mapped_column(
        Integer, server_default=text("100"), comment="How much of a part the next one repeats."
    )
    topK: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"), comment="How many parts an agent gets.")
    minScore: Mapped[Decimal] = mapped_column(
        Numeric(4, 3), server_default=text("0.700"), comment="How like the question a part must be, 0 to 1."
    )
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
