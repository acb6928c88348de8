"""Users' health: who they are to a physician, what they have, and what was measured.

What a row says of somebody's health is ciphertext; the days, kinds and states that rows are found and ordered by are
not. Medications and appointments are in migrations/models/care.py.
"""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Date, Index, String, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Timestamp, enum_type
from migrations.models.protected import MEDICAL, encrypted, one_of, owned, referenced

if TYPE_CHECKING:
    from migrations.models.care import MedicalAppointment, Medication
    from migrations.models.identity import User


class MeasurementType(enum.StrEnum):
    """What was measured."""

    WEIGHT = "WEIGHT"
    BLOOD_PRESSURE = "BLOOD_PRESSURE"
    HEART_RATE = "HEART_RATE"
    BLOOD_GLUCOSE = "BLOOD_GLUCOSE"
    TEMPERATURE = "TEMPERATURE"
    OXYGEN_SATURATION = "OXYGEN_SATURATION"
    SLEEP = "SLEEP"
    STEPS = "STEPS"


class HealthProfile(Base):
    """What a physician asks a user first."""

    __tablename__ = "health_profiles"
    __table_args__ = (
        *owned("health_profiles"),
        *encrypted(
            "health_profiles", "bloodType", "heightCm", "emergencyContact", "insuranceProvider", "policyNumber", "notes"
        ),
        Index("health_profiles_userId_key", "userId", unique=True),
        {"comment": "What a physician asks first, one row a user.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    bloodType: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; O+, AB- …")
    heightCm: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; centimetres.")
    emergencyContact: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True}, comment="Encrypted; whom to call, and how."
    )
    insuranceProvider: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    policyNumber: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True, "masked": True}, comment="Encrypted; the insurance's number, shown masked."
    )
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()


class MedicalCondition(Base):
    """Something that a user has, or had."""

    __tablename__ = "medical_conditions"
    __table_args__ = (
        *owned("medical_conditions"),
        *encrypted("medical_conditions", "name", "code", "notes"),
        one_of("medical_conditions", "status", "ACTIVE", "CHRONIC", "IN_REMISSION", "RESOLVED"),
        one_of("medical_conditions", "severity", "MILD", "MODERATE", "SEVERE"),
        CheckConstraint(
            """("status" = 'RESOLVED') = ("resolvedOn" IS NOT NULL)""", name="medical_conditions_resolved_check"
        ),
        CheckConstraint('"resolvedOn" >= "diagnosedOn"', name="medical_conditions_resolvedOn_check"),
        referenced("medical_conditions"),
        Index("medical_conditions_userId_diagnosedOn_idx", "userId", text('"diagnosedOn" DESC')),
        Index(
            "medical_conditions_active_idx",
            "userId",
            "severity",
            postgresql_where=text("""status::text IN ('ACTIVE', 'CHRONIC')"""),
        ),
        {"comment": "What users have, or had.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    name: Mapped[str] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    code: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True}, comment="Encrypted; its code in ICD-10, where a physician gave one."
    )
    status: Mapped[str] = mapped_column(String(20), server_default=text("'ACTIVE'"))
    severity: Mapped[str | None] = mapped_column(String(20))
    diagnosedOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    resolvedOn: Mapped[dt.date | None] = mapped_column(Date, comment="When it was over.")
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    medications: Mapped[list["Medication"]] = relationship(
        back_populates="condition",
        primaryjoin="foreign(Medication.conditionId) == MedicalCondition.id",
        passive_deletes="all",
    )
    appointments: Mapped[list["MedicalAppointment"]] = relationship(
        back_populates="condition",
        primaryjoin="foreign(MedicalAppointment.conditionId) == MedicalCondition.id",
        passive_deletes="all",
    )


class Allergy(Base):
    """Something that a user does not bear."""

    __tablename__ = "allergies"
    __table_args__ = (
        *owned("allergies"),
        *encrypted("allergies", "allergen", "reaction", "notes"),
        one_of("allergies", "category", "MEDICATION", "FOOD", "ENVIRONMENT", "OTHER"),
        one_of("allergies", "severity", "MILD", "MODERATE", "SEVERE", "LIFE_THREATENING"),
        Index("allergies_userId_firstSeenOn_idx", "userId", text('"firstSeenOn" DESC')),
        Index("allergies_active_idx", "userId", "category", postgresql_where=text('"isActive"')),
        {"comment": "What users do not bear.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    allergen: Mapped[str] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; what it is against.")
    category: Mapped[str] = mapped_column(String(20))
    severity: Mapped[str] = mapped_column(String(20))
    reaction: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted; what it does.")
    firstSeenOn: Mapped[dt.date | None] = mapped_column(Date)
    isActive: Mapped[bool] = mapped_column(
        server_default=text("true"), comment="False once it was outgrown, or shown to be none."
    )
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()


class HealthMeasurement(Base):
    """Something measured, once."""

    __tablename__ = "health_measurements"
    __table_args__ = (
        *owned("health_measurements"),
        *encrypted("health_measurements", "value", "notes"),
        one_of("health_measurements", "source", "MANUAL", "DEVICE", "IMPORT"),
        Index("health_measurements_userId_measuredAt_idx", "userId", text('"measuredAt" DESC')),
        Index("health_measurements_userId_type_measuredAt_idx", "userId", "type", text('"measuredAt" DESC')),
        {"comment": "What was measured of users.", "info": MEDICAL},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    type: Mapped[MeasurementType] = mapped_column(enum_type(MeasurementType))
    value: Mapped[str] = mapped_column(
        Text,
        info={"encrypted": True},
        comment="Encrypted; by type in kg, mmHg as 120/80, beats a minute, mg/dl, °C, %, hours, or a count.",
    )
    measuredAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    source: Mapped[str] = mapped_column(
        String(20), server_default=text("'MANUAL'"), comment="Whether a person typed it, a device sent it, or a file."
    )
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
