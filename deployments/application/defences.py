"""Defences of the application, tried from outside without changing anything; and of the copies that Neon keeps."""

import re
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from deployments.answers import MIB
from deployments.application.defence import Defence
from deployments.application.endpoints import TIMEOUT_S, application_client
from deployments.connection_uri import is_loopback

REQUESTS: Final = 30
READ: Final = "/api/agents"
WRITE: Final = "/api/users"

_LIMIT_HEADER: Final = re.compile(r"(x-)?ratelimit(-.*)?", re.IGNORECASE)
_JSON: Final = {"Content-Type": "application/json"}
_TOO_MANY_REQUESTS: Final = 429
_UNAVAILABLE: Final = 503
_REFUSED: Final = {400, 413, 415, 422}
_MALFORMED: Final = (("no JSON", b"{"), ("a list", b"[]"), ("an object without fields", b"{}"))
"""Bodies that no user can be made from: in every revision a user's address is NOT NULL."""


def limits_rate(url: str, *, bypass: SecretStr | None, transport: httpx.BaseTransport | None = None) -> Defence:
    """Read a few times in a row, until the application says that it limits the rate of requests.

    Args:
        url: address of the application.
        bypass: secret that opens a protected deployment; None for production's own address.
        transport: how requests are sent, for tests.

    Returns:
        Holds where an answer was 429 or named a limit in its headers; cannot tell otherwise.

    Source: `RateLimit` and `RateLimit-Policy` of the IETF's draft, and the `X-RateLimit-*` that went before it.
    """
    try:
        with application_client(url, bypass, transport, most_bytes=4 * MIB) as client:
            for number in range(1, REQUESTS + 1):
                answer = client.request("GET", READ, seconds=TIMEOUT_S)
                named = sorted(name for name in answer.headers if _LIMIT_HEADER.fullmatch(name))
                if answer.status_code == _TOO_MANY_REQUESTS:
                    return Defence(True, f"request {number} in a row was answered 429")
                if named:
                    return Defence(True, f"answers name their limit: {', '.join(named)}")
    except httpx.HTTPError as error:
        return Defence(None, f"{url} did not answer ({type(error).__name__})")
    return Defence(
        None, f"{REQUESTS} reads in a row met neither a 429 nor a RateLimit header; a higher limit is not seen so"
    )


def validates_input(url: str, *, bypass: SecretStr | None, transport: httpx.BaseTransport | None = None) -> Defence:
    """Ask for users that cannot be made, so that nothing is changed whatever the answer is.

    Args:
        url: address of the application.
        bypass: secret that opens a protected deployment; None for production's own address.
        transport: how requests are sent, for tests.

    Returns:
        Holds where each was refused as malformed; broken where one was accepted, or failed inside the application.
    """
    accepted: list[str] = []
    unclear: list[str] = []
    try:
        with application_client(url, bypass, transport, most_bytes=4 * MIB) as client:
            for what, body in _MALFORMED:
                answer = client.request("POST", WRITE, seconds=TIMEOUT_S, content=body, headers=_JSON)
                status = answer.status_code
                if status in _REFUSED:
                    continue
                broken = status < 300 or (status >= 500 and status != _UNAVAILABLE)
                (accepted if broken else unclear).append(f"{what} was answered {status}")
    except httpx.HTTPError as error:
        return Defence(None, f"{url} did not answer ({type(error).__name__})")
    if accepted:
        return Defence(False, f"POST {WRITE}: {'; '.join(accepted)}, and must be refused with 400 or 422")
    if unclear:
        return Defence(None, f"POST {WRITE}: {'; '.join(unclear)}, before its body was looked at")
    return Defence(True, f"POST {WRITE} refuses {', '.join(what for what, _ in _MALFORMED)}")


def encrypts_copies(neon_api_url: str | None) -> Defence:
    """Whether branches and snapshots are encrypted where they lie.

    Args:
        neon_api_url: address of Neon's API; None where the database is none of Neon's.

    Source: Neon encrypts storage at rest with AES-256, for every project; no answer of its API says so.
    """
    if neon_api_url is None:
        return Defence(None, "whoever keeps copies of this database has to say whether they are encrypted")
    if is_loopback(urlsplit(neon_api_url).hostname or ""):
        return Defence(False, "the local platform keeps its branches and snapshots as plain files")
    return Defence(None, "Neon promises encryption at rest, and its API does not show it: see your agreement with Neon")
