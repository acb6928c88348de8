"""What becomes of values when a column's type changes."""

from __future__ import annotations

from migrations.sql.names import SqlType

_WHOLE = {"int2": 2, "int4": 4, "int8": 8}
_REAL = {"float4": 4, "float8": 8}
_TEXTS = frozenset({"text", "varchar"})
_TIMED = {"timestamp", "timestamptz", "time", "timetz", "interval"}
_MICROSECONDS = 6
_DAY_OR_TIME = frozenset({"date", "time", "timetz"})


def rewrites(old: SqlType | None, new: SqlType | None) -> bool:
    """Whether a change of type writes every row anew, or at least reads it.

    Source: varchar and varbit that grow, or lose their limit, numeric that grows in precision at the same scale,
        time stamps that grow in precision, and cidr to inet stay as they are.
    """
    if old is None or new is None:
        return True
    if old == new:
        return False
    if old.array != new.array or (old.array and old.name != new.name):
        return True
    if old.name in _TEXTS and new.name in _TEXTS:
        return bool(new.modifiers) and (not old.modifiers or old.name == "text" or new.modifiers < old.modifiers)
    if old.name == new.name == "varbit":
        return bool(new.modifiers) and (not old.modifiers or new.modifiers < old.modifiers)
    if old.name == new.name == "numeric":
        return _digits_shrink(old, new) or (bool(new.modifiers) and _scale(old) != _scale(new))
    if old.name == new.name and old.name in _TIMED:
        return _precision(new) < _precision(old)
    return (old.name, new.name) != ("cidr", "inet")


def narrows(old: SqlType | None, new: SqlType | None) -> bool:
    """Whether a value of the old type may be too large, too long or too exact for the new one, or of no use to it."""
    if old is None or new is None or old == new:
        return False
    if old.name in _WHOLE:
        return new.name in _REAL or _WHOLE.get(new.name, 8) < _WHOLE[old.name] or (
            new.name == "numeric" and bool(new.modifiers)
        )  # fmt: skip
    if old.name == "numeric":
        return new.name in _WHOLE or new.name in _REAL or (new.name == "numeric" and _digits_shrink(old, new))
    if old.name in _REAL:
        return new.name in _WHOLE or new.name == "numeric" or _REAL.get(new.name, 8) < _REAL[old.name]
    if old.name in _TEXTS or old.name == "bpchar":
        if new.name in _TEXTS or new.name == "bpchar":
            return bool(new.modifiers) and (not old.modifiers or new.modifiers < old.modifiers)
        return True
    if old.name in _TIMED:
        return (old.name.startswith("timestamp") and new.name in _DAY_OR_TIME) or (
            new.name in _TIMED and _precision(new) < _precision(old)
        )
    return False


def _digits_shrink(old: SqlType, new: SqlType) -> bool:
    if not new.modifiers:
        return False
    if not old.modifiers:
        return True
    before, after = old.modifiers[0] - _scale(old), new.modifiers[0] - _scale(new)
    return after < before or _scale(new) < _scale(old)


def _scale(given: SqlType) -> int:
    return given.modifiers[1] if len(given.modifiers) > 1 else 0


def _precision(given: SqlType) -> int:
    return given.modifiers[-1] if given.modifiers else _MICROSECONDS
