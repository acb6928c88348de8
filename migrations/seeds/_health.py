"""Health: of four users in ten; what is private is plain text here, and encrypted where it is loaded."""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Final, NamedTuple

from migrations.seeds._copy_format import FALSE, NULL, TRUE
from migrations.seeds._distributions import DAY_MS, END_MS, LAST_DAY, date, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_PROFILES = (
    "id", "userId", "bloodType", "heightCm", "emergencyContact", "insuranceProvider", "policyNumber", "createdAt",
    "updatedAt",
)  # fmt: skip
_CONDITIONS = (
    "id", "userId", "name", "code", "status", "severity", "diagnosedOn", "resolvedOn", "notes", "createdAt",
    "updatedAt",
)  # fmt: skip
_ALLERGIES = (
    "id", "userId", "allergen", "category", "severity", "reaction", "firstSeenOn", "isActive", "createdAt", "updatedAt",
)  # fmt: skip
_MEASUREMENTS = ("id", "userId", "type", "value", "measuredAt", "source", "notes", "createdAt", "updatedAt")
_MEDICATIONS = (
    "id", "userId", "conditionId", "name", "dosage", "dosesPerDay", "prescribedBy", "startsOn", "endsOn", "isActive",
    "createdAt", "updatedAt",
)  # fmt: skip
_DOSES = ("id", "userId", "medicationId", "scheduledFor", "status", "takenAt", "createdAt", "updatedAt")
_APPOINTMENTS = (
    "id", "userId", "conditionId", "scheduledAt", "durationMinutes", "status", "provider", "specialty", "location",
    "reason", "remindAt", "createdAt", "updatedAt",
)  # fmt: skip

_KNOWN: Final = (
    ("Hipertensión", "I10", "Losartán", "50 mg", "CHRONIC"),
    ("Diabetes tipo 2", "E11", "Metformina", "850 mg", "CHRONIC"),
    ("Asma", "J45", "Salbutamol", "100 mcg", "CHRONIC"),
    ("Migraine", "G43", "Ibuprofen", "400 mg", "ACTIVE"),
    ("Gastritis", "K29", "Omeprazol", "20 mg", "RESOLVED"),
    ("Back pain", "M54", "Naproxen", "250 mg", "RESOLVED"),
)
_ALLERGENS: Final = (
    ("Penicilina", "MEDICATION", "Urticaria"),
    ("Nuts", "FOOD", "Swelling"),
    ("Polen", "ENVIRONMENT", "Estornudos"),
    ("Mariscos", "FOOD", "Urticaria"),
)
_SEVERITIES: Final = shared({"MILD": 60, "MODERATE": 32, "SEVERE": 8})
_BLOOD: Final = shared({"O+": 57, "A+": 24, "B+": 8, "O-": 4, "A-": 3, "AB+": 2, "B-": 1, "AB-": 1})
_TYPES: Final = shared(
    {
        "STEPS": 22,
        "HEART_RATE": 20,
        "WEIGHT": 18,
        "SLEEP": 15,
        "BLOOD_PRESSURE": 10,
        "BLOOD_GLUCOSE": 8,
        "OXYGEN_SATURATION": 4,
        "TEMPERATURE": 3,
    }
)
_SOURCES: Final = shared({"DEVICE": 65, "MANUAL": 30, "IMPORT": 5})
_DOCTORS: Final = ("Dra. Morales", "Dr. Vega", "Dr. Smith", "Dra. Ortega", "Dr. Lee")
_SPECIALTIES: Final = ("Medicina general", "Cardiología", "Dermatology", "Nutrición")
_COMING: Final = shared({"SCHEDULED": 70, "CONFIRMED": 30})
_PAST: Final = shared({"COMPLETED": 82, "CANCELLED": 11, "NO_SHOW": 7})
_DOSE: Final = shared({"TAKEN": 84, "MISSED": 10, "SKIPPED": 6})
_DOSE_DAYS: Final = 10
_OF_TEN: Final = 4


class _Condition(NamedTuple):
    place: int
    kind: int
    day: int
    over: int | None


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("health_profiles", _PROFILES, partial(_profiles, plan)),
        TableRows("medical_conditions", _CONDITIONS, partial(_conditions, plan)),
        TableRows("allergies", _ALLERGIES, partial(_allergies, plan)),
        TableRows("health_measurements", _MEASUREMENTS, partial(_measurements, plan)),
        TableRows("medications", _MEDICATIONS, partial(_medications, plan)),
        TableRows("medication_logs", _DOSES, partial(_doses, plan)),
        TableRows("medical_appointments", _APPOINTMENTS, partial(_appointments, plan)),
    )


def _users(plan: Plan) -> Iterator[int]:
    return (user for user in plan.everyone() if user * 7 % 10 < _OF_TEN)


def _conditions_of(plan: Plan, user: int) -> list[_Condition]:
    roll = plan.roll("conditions", user)
    found: list[_Condition] = []
    for place in range(int(roll.random() ** 1.5 * 3.4)):
        kind = int(roll.random() * len(_KNOWN))
        day = int(roll.triangular(-2_000, LAST_DAY - 60, 300))
        over = day + 14 + int(roll.expovariate(1 / 120)) if _KNOWN[kind][4] == "RESOLVED" else None
        found.append(_Condition(place, kind, day, over if over is None or over <= LAST_DAY else LAST_DAY))
    return found


def _profiles(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("health_profiles", user)
        person = plan.person(user)
        insured = roll.random() < 0.6
        yield (
            plan.key("health_profiles", user),
            plan.user(user),
            one_of(roll, _BLOOD),
            str(int(min(205.0, max(140.0, roll.gauss(167, 9))))),
            f"{person.last}, 55 5{roll.randrange(10**7):07}",
            one_of(roll, ("IMSS", "GNP", "AXA")) if insured else NULL,
            f"POL{roll.randrange(10**9):09}" if insured else NULL,
            stamp(person.born),
            stamp(person.born),
        )


def _conditions(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("medical_conditions", user)
        born = stamp(plan.person(user).born)
        for one in _conditions_of(plan, user):
            name, code, _, _, status = _KNOWN[one.kind]
            yield (
                plan.key("medical_conditions", user, one.place),
                plan.user(user),
                name,
                code if roll.random() < 0.7 else NULL,
                status,
                one_of(roll, _SEVERITIES),
                date(one.day),
                date(one.over) if one.over is not None else NULL,
                "En tratamiento" if roll.random() < 0.2 else NULL,
                born,
                born,
            )


def _allergies(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("allergies", user)
        if roll.random() > 0.35 and user:
            continue
        allergen, category, reaction = one_of(roll, _ALLERGENS)
        born = stamp(plan.person(user).born)
        yield (
            plan.key("allergies", user),
            plan.user(user),
            allergen,
            category,
            one_of(roll, _SEVERITIES) if roll.random() < 0.95 else "LIFE_THREATENING",
            reaction,
            date(-int(roll.random() * 3_000)),
            TRUE if roll.random() < 0.92 else FALSE,
            born,
            born,
        )


def _measured(roll: Random, kind: str, weight: float) -> str:
    """A value as its type is written."""
    value = roll.gauss(0.0, 1.0)
    match kind:
        case "STEPS":
            return str(int(max(200.0, 6_500 + 2_800 * value)))
        case "HEART_RATE":
            return str(int(72 + 9 * value))
        case "WEIGHT":
            return f"{weight + 0.8 * value:.1f}"
        case "SLEEP":
            return f"{min(12.0, max(2.0, 6.8 + 1.1 * value)):.1f}"
        case "BLOOD_PRESSURE":
            return f"{int(121 + 11 * value)}/{int(79 + 7 * value)}"
        case "BLOOD_GLUCOSE":
            return str(int(max(60.0, 102 + 18 * value)))
        case "OXYGEN_SATURATION":
            return str(min(100, int(97 + 1.2 * value)))
        case _:
            return f"{36.6 + 0.35 * value:.1f}"


def _measurements(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("health_measurements", user)
        born, key = plan.person(user).born, plan.user(user)
        weight = max(45.0, roll.gauss(74, 13))
        for place in range(1 + plan.count(roll, user, 54)):
            kind = one_of(roll, _TYPES)
            moment = stamp(plan.after(roll, born))
            yield (
                plan.key("health_measurements", user, place),
                key,
                kind,
                _measured(roll, kind, weight),
                moment,
                one_of(roll, _SOURCES),
                "después de comer" if roll.random() < 0.03 else NULL,
                moment,
                moment,
            )


def _medications(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("medications", user)
        born = stamp(plan.person(user).born)
        for one in _conditions_of(plan, user):
            _, _, name, dosage, _ = _KNOWN[one.kind]
            yield (
                plan.key("medications", user, one.place),
                plan.user(user),
                plan.key("medical_conditions", user, one.place),
                name,
                dosage,
                one_of(roll, ("1", "1", "2", "3")),
                one_of(roll, _DOCTORS) if roll.random() < 0.8 else NULL,
                date(one.day),
                date(one.over) if one.over is not None else NULL,
                FALSE if one.over is not None else TRUE,
                born,
                born,
            )


def _doses(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("medication_logs", user)
        key = plan.user(user)
        for one in _conditions_of(plan, user):
            medication = plan.key("medications", user, one.place)
            first = max(0, one.day)
            for place in range(_dose_days(plan, roll, user)):
                day = min(LAST_DAY, one.over if one.over is not None else LAST_DAY) - place
                if day < first:
                    break
                due = day * DAY_MS + 14 * 3_600_000
                status = one_of(roll, _DOSE)
                yield (
                    plan.key("medication_logs", user, one.place * 4_096 + place),
                    key,
                    medication,
                    stamp(due),
                    status,
                    stamp(due + int(roll.random() * 5_400_000)) if status == "TAKEN" else NULL,
                    stamp(due),
                    stamp(due),
                )


def _dose_days(plan: Plan, roll: Random, user: int) -> int:
    """For how many days a user kept record of a medication."""
    return min(LAST_DAY, 2 + plan.count(roll, user, _DOSE_DAYS))


def _appointments(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("medical_appointments", user)
        born = plan.person(user).born
        conditions = _conditions_of(plan, user)
        for place in range(1 + int(roll.expovariate(0.8))):
            coming = roll.random() < 0.12
            day = END_MS // DAY_MS + int(roll.random() * 60) if coming else plan.after(roll, born) // DAY_MS
            moment = day * DAY_MS + (15 + int(roll.random() * 9)) * 3_600_000
            about = one_of(roll, conditions).place if conditions and roll.random() < 0.6 else None
            yield (
                plan.key("medical_appointments", user, place),
                plan.user(user),
                plan.key("medical_conditions", user, about) if about is not None else NULL,
                stamp(moment),
                one_of(roll, ("20", "30", "30", "45", "60")),
                one_of(roll, _COMING if coming else _PAST),
                one_of(roll, _DOCTORS),
                one_of(roll, _SPECIALTIES),
                "Consultorio 4" if roll.random() < 0.5 else NULL,
                "Revisión" if about is not None else "Chequeo anual",
                stamp(moment - DAY_MS),
                stamp(min(moment, END_MS) - 9 * DAY_MS),
                stamp(min(moment, END_MS) - 9 * DAY_MS),
            )
