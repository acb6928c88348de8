"""What is done about users' health: what they take, whether they took it, and whom they see."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Date, Index, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Timestamp
from migrations.models.protected import MEDICAL, encrypted, of_same_user, one_of, owned, referenced

if TYPE_CHECKING:
    from migrations.models.health import MedicalCondition
    from migrations.models.identity import User


class Medication(Base):
    """Something that a user takes, or took."""

    __tablename__ = "medications"
    __table_args__ = (
        *owned("medications"),
        *encrypted("medications", "name", "dosage", "prescribedBy", "notes"),
        CheckConstraint('"dosesPerDay" > 0', name="medications_dosesPerDay_check"),
        CheckConstraint('"endsOn" >= "startsOn"', name="medications_endsOn_check"),
        of_same_user("medications", "conditionId", "medical_conditions", ondelete='SET NULL ("conditionId")'),
        referenced("medications"),
        Index("medications_userId_startsOn_idx", "userId", text('"startsOn" DESC')),
        Index("medications_userId_conditionId_idx", "userId", "conditionId"),
        Index("medications_active_idx", "userId", "endsOn", postgresql_where=text('"isActive"')),
        {"comment": "What users take, or took.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    conditionId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="What it is taken against.")
    name: Mapped[str] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    dosage: Mapped[str] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; how much at a time.")
    dosesPerDay: Mapped[Decimal | None] = mapped_column(
        Numeric(5, 2), comment="How often a day, below 1 where not daily; none where taken as needed."
    )
    prescribedBy: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    startsOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    endsOn: Mapped[dt.date | None] = mapped_column(Date, comment="The last day; none where it is taken for good.")
    isActive: Mapped[bool] = mapped_column(server_default=text("true"), comment="Whether it is taken now.")
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    condition: Mapped["MedicalCondition | None"] = relationship(
        back_populates="medications", primaryjoin="foreign(Medication.conditionId) == MedicalCondition.id"
    )
    logs: Mapped[list["MedicationLog"]] = relationship(
        back_populates="medication",
        primaryjoin="foreign(MedicationLog.medicationId) == Medication.id",
        passive_deletes="all",
    )


class MedicationLog(Base):
    """One dose that was due, and what became of it."""

    __tablename__ = "medication_logs"
    __table_args__ = (
        *owned("medication_logs"),
        *encrypted("medication_logs", "notes"),
        one_of("medication_logs", "status", "PENDING", "TAKEN", "SKIPPED", "MISSED"),
        CheckConstraint("""("status" = 'TAKEN') = ("takenAt" IS NOT NULL)""", name="medication_logs_takenAt_check"),
        of_same_user("medication_logs", "medicationId", "medications", ondelete="CASCADE"),
        Index(
            "medication_logs_userId_medicationId_scheduledFor_key",
            "userId",
            "medicationId",
            text('"scheduledFor" DESC'),
            unique=True,
        ),
        Index("medication_logs_userId_scheduledFor_idx", "userId", text('"scheduledFor" DESC')),
        Index("medication_logs_pending_idx", "scheduledFor", postgresql_where=text("""status = 'PENDING'""")),
        {"comment": "Doses that were due, and what became of them.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    medicationId: Mapped[uuid.UUID] = mapped_column(UUID())
    scheduledFor: Mapped[dt.datetime] = mapped_column(Timestamp)
    status: Mapped[str] = mapped_column(String(20), server_default=text("'PENDING'"))
    takenAt: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    medication: Mapped["Medication"] = relationship(
        back_populates="logs", primaryjoin="foreign(MedicationLog.medicationId) == Medication.id"
    )


class MedicalAppointment(Base):
    """A visit to somebody who cures."""

    __tablename__ = "medical_appointments"
    __table_args__ = (
        *owned("medical_appointments"),
        *encrypted("medical_appointments", "provider", "specialty", "location", "reason", "notes"),
        one_of("medical_appointments", "status", "SCHEDULED", "CONFIRMED", "COMPLETED", "CANCELLED", "NO_SHOW"),
        CheckConstraint('"durationMinutes" BETWEEN 1 AND 1440', name="medical_appointments_durationMinutes_check"),
        CheckConstraint('"remindAt" <= "scheduledAt"', name="medical_appointments_remindAt_check"),
        of_same_user("medical_appointments", "conditionId", "medical_conditions", ondelete='SET NULL ("conditionId")'),
        Index("medical_appointments_userId_scheduledAt_idx", "userId", text('"scheduledAt" DESC')),
        Index("medical_appointments_userId_conditionId_idx", "userId", "conditionId"),
        Index(
            "medical_appointments_remindAt_idx",
            "remindAt",
            postgresql_where=text("""status::text IN ('SCHEDULED', 'CONFIRMED')"""),
        ),
        {"comment": "Visits to physicians, and what for.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    conditionId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="What it is about, where that is known.")
    scheduledAt: Mapped[dt.datetime] = mapped_column(Timestamp)
    durationMinutes: Mapped[int] = mapped_column(SmallInteger, server_default=text("30"))
    status: Mapped[str] = mapped_column(String(20), server_default=text("'SCHEDULED'"))
    provider: Mapped[str] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; whom the user sees.")
    specialty: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    location: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    reason: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    notes: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True}, comment="Encrypted; what was said there, too."
    )
    remindAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When the user wants to be reminded.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    condition: Mapped["MedicalCondition | None"] = relationship(
        back_populates="appointments", primaryjoin="foreign(MedicalAppointment.conditionId) == MedicalCondition.id"
    )
