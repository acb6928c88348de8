"""How long a service asks to wait before it is called again, in any of the forms in which services say so."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx
from pydantic import BaseModel, ValidationError

# A window of a rate limit is a minute.
LONGEST_S = 75.0


class _Limit(BaseModel):
    reset: float | None = None


class _Error(BaseModel):
    limit: _Limit


class _Limited(BaseModel):
    error: _Error


def asked_wait_s(got: httpx.Response) -> float | None:
    """Seconds after which a service asks to be called again; None where it does not say.

    Source: HTTP's `Retry-After`, a number or a date; beside a 429, Vercel's `X-RateLimit-Reset` and the body's
    `error.limit.reset`, both in seconds since 1970 by the service's own clock.
    """
    if (wait := _retry_after_s(got.headers.get("Retry-After"))) is not None:
        return wait
    if got.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    reset = _number(got.headers.get("X-RateLimit-Reset")) or _limit_reset(got)
    return None if reset is None else max(0.0, reset - _clock(got).timestamp())


def _retry_after_s(header: str | None) -> float | None:
    if (seconds := _number(header)) is not None:
        return max(0.0, seconds)
    date = _date(header)
    return None if date is None else max(0.0, (date - datetime.now(UTC)).total_seconds())


def _limit_reset(got: httpx.Response) -> float | None:
    try:
        told = _Limited.model_validate_json(got.content)
    except ValidationError:
        return None
    return told.error.limit.reset


def _clock(got: httpx.Response) -> datetime:
    """The service's clock, where it says what it is: this machine's may be another."""
    return _date(got.headers.get("Date")) or datetime.now(UTC)


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header) if header else None
    except (ValueError, TypeError):
        return None
