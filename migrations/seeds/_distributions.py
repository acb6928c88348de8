"""How much, how often and when: as it is among people, and the same for the same seed."""

import datetime as dt
import itertools
import math
import zlib
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

START: Final = dt.date(2024, 1, 1)
"""The first of the days that rows are of; moments are milliseconds since then, in UTC."""

LAST_DAY: Final = 730
"""The last of the two years, counted from 0."""

DAY_MS: Final = 86_400_000
END_MS: Final = (LAST_DAY + 1) * DAY_MS

_BEFORE: Final = 4_000
_DATES: Final = tuple((START + dt.timedelta(days=n)).isoformat() for n in range(-_BEFORE, LAST_DAY + 1_000))
_CLOCK: Final = tuple(f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86_400))

# Local time in Mexico City, which is six hours behind UTC: little at night, most in the morning and the evening.
_HOURS: Final = (2, 1, 1, 1, 1, 2, 5, 9, 14, 18, 20, 19, 16, 13, 15, 18, 19, 18, 16, 15, 16, 15, 10, 5)
_WEEKDAYS: Final = (1.0, 1.05, 1.05, 1.0, 0.85, 0.5, 0.45)
_UTC_BEHIND_H: Final = 6
_MOMENTS: Final = 32_768


def number(*parts: str | int) -> int:
    """A number for what it is given, the same on every machine."""
    text = "/".join(map(str, parts)).encode()
    return zlib.crc32(text) << 32 | zlib.adler32(text)


def dice(given: int) -> Random:
    """A source of numbers that are the same for the same start."""
    return Random(given)  # noqa: S311 - believable numbers, and no secret.


def zipf(members: int, *, exponent: float = 0.9) -> list[float]:
    """How active each member is, 1 on average: few do most, as Zipf and Mandelbrot found of words."""
    flat = 1 + members / 500
    weights = [(rank + flat) ** -exponent for rank in range(members)]
    mean = sum(weights) / members
    return [weight / mean for weight in weights]


def shared(shares: dict[T, float]) -> tuple[T, ...]:
    """A hundred times one of several things, in its share; any of them is drawn by a number of 0 to 99."""
    drawn = [thing for thing, percent in shares.items() for _ in range(round(percent))]
    return tuple((drawn * 100)[:100])


def log_normal(roll: Random, median: float, spread: float) -> float:
    """An amount above 0: half are below the median, and some far above."""
    return median * math.exp(roll.gauss(0.0, spread))


def rounded(roll: Random, mean: float) -> int:
    """A whole number near a mean, which many of them have."""
    return int(mean + roll.random())


def moments(roll: Random) -> list[int]:
    """Moments of the two years, sorted, with the rhythm of days and weeks, and more of them as time goes on."""
    weights = [(0.35 + 0.65 * day / LAST_DAY) * _WEEKDAYS[(START.weekday() + day) % 7] for day in range(LAST_DAY)]
    days = roll.choices(range(LAST_DAY), cum_weights=list(itertools.accumulate(weights)), k=_MOMENTS)
    hours = roll.choices(range(24), weights=_HOURS, k=_MOMENTS)
    return sorted(
        day * DAY_MS + (hour + _UTC_BEHIND_H) * 3_600_000 + int(roll.random() * 3_600_000)
        for day, hour in zip(days, hours, strict=True)
    )


def stamp(moment: int) -> str:
    """A moment as PostgreSQL writes it."""
    days, rest = divmod(moment, DAY_MS)
    seconds, ms = divmod(rest, 1000)
    return f"{_DATES[days + _BEFORE]} {_CLOCK[seconds]}.{ms:03}"


def date(day: int) -> str:
    """A day, counted from the first of the two years, as PostgreSQL writes it."""
    return _DATES[day + _BEFORE]


def money(cents: int) -> str:
    """Hundredths as an amount."""
    return f"{cents // 100}.{cents % 100:02}"


def one_of(roll: Random, things: Sequence[T]) -> T:
    """One of several things, each as likely."""
    return things[int(roll.random() * len(things))]
