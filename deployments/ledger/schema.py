"""The ledger's tables as they are at head; `versions/` is how they come to be."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
metadata = MetaData(naming_convention=NAMES)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in UTC; aware on every database, though SQLite itself keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring a moment to UTC; one without a zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be stored: {value.isoformat()}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give a moment back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


releases = Table(
    "releases",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("target", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("commit_sha", Text, nullable=False),
    Column("target_revision", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("flow_run_id", Text),
    Column("holder", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("lease_expires_at", UTCDateTime, nullable=False),
    Column("started_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("summary", Text, nullable=False),
    Column("fence", Integer, nullable=False, server_default=text("1")),
    CheckConstraint(
        "state IN ('running', 'succeeded', 'rolled_back', 'failed', 'undecided', 'abandoned')", name="state"
    ),
    CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended"),
)
# One running release a target: the database itself refuses a second one.
Index(
    "releases_one_running_a_target",
    releases.c.target,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)
Index("releases_by_target", releases.c.target, releases.c.started_at)

steps = Table(
    "steps",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("release_id", String(40), ForeignKey(releases.c.id, ondelete="RESTRICT"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("step", Text, nullable=False),
    Column("event", String(8), nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("details", JSON, nullable=False),
    UniqueConstraint("release_id", "seq"),
    CheckConstraint("event IN ('begun', 'done', 'failed', 'noted')", name="event"),
)

catalogs = Table(
    "catalogs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("target", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release_id", String(40), ForeignKey(releases.c.id, ondelete="RESTRICT")),
    Column("revision", Text),
    Column("digest", Text, nullable=False),
    Column("catalog", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)
Index("catalogs_newest", catalogs.c.target, catalogs.c.environment, catalogs.c.number)

announcements = Table(
    "announcements",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("target", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("first_at", UTCDateTime, nullable=False),
    UniqueConstraint("target", "environment", "digest"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("plan_digest", String(64), nullable=False),
    Column("release_id", String(40), ForeignKey(releases.c.id, ondelete="RESTRICT")),
    Column("evidence", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)
Index("evidence_by_plan", evidence.c.plan_digest, evidence.c.at)

messages = Table(
    "messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("target", Text, nullable=False),
    Column("release_id", String(40), ForeignKey(releases.c.id, ondelete="RESTRICT")),
    Column("fact", Text),
    Column("text", Text, nullable=False),
    Column("blocks", JSON, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("state", String(8), nullable=False),
    Column("taken_by", String(36)),
    Column("taken_until", UTCDateTime),
    Column("sent_at", UTCDateTime),
    UniqueConstraint("target", "fact"),
    CheckConstraint("state IN ('waiting', 'sent', 'refused', 'too old')", name="state"),
)
Index(
    "messages_waiting",
    messages.c.target,
    messages.c.number,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)
Index("messages_by_release", messages.c.release_id)
