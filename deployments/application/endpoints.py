"""The released application seen from outside: its health, and probes that read, or read and write."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from deployments.answers import MIB, BoundedClient, trusted_certificates

TIMEOUT_S = 10.0
MOST_BYTES = 4 * MIB
BYPASS_HEADER = "x-vercel-protection-bypass"


@dataclass(frozen=True)
class Health:
    """What `GET /api/health` told.

    Attributes:
        healthy: whether it answered 200 and called itself healthy.
        status: `healthy`, `unhealthy`, or `no answer`.
        maintenance: whether the application says that it refuses writes.
        commit_sha: the commit that it says it was built from; None where it does not say.
        latency_ms: milliseconds until the answer was complete; None without one.
        detail: what was wrong; empty where nothing was.
    """

    healthy: bool
    status: str
    maintenance: bool = False
    commit_sha: str | None = None
    latency_ms: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Probe:
    """One request as a user would make it.

    Attributes:
        method: HTTP method.
        path: path of the request.
        ok: whether it was answered as it must be.
        latency_ms: milliseconds until the answer was complete.
        detail: what was wrong; empty where nothing was.
    """

    method: str
    path: str
    ok: bool
    latency_ms: float
    detail: str = ""


class _Health(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str
    maintenance: bool = False
    commit: str | None = None


class _Item(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore")

    commit: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    content: str


def health(url: str, *, bypass: SecretStr | None, transport: httpx.BaseTransport | None = None) -> Health:
    """Ask the application how it is. It never raises: no answer is an answer too.

    Args:
        url: address of the application.
        bypass: secret that opens a protected deployment; None for production's own address.
        transport: how requests are sent, for tests.
    """
    began = time.perf_counter()
    with application_client(url, bypass, transport) as client:
        try:
            answer = client.request("GET", "/api/health", seconds=TIMEOUT_S)
        except httpx.HTTPError as error:
            return Health(healthy=False, status="no answer", detail=_said(error))
        latency_ms = (time.perf_counter() - began) * 1000
        try:
            told = _Health.model_validate_json(answer.content)
        except ValidationError:
            return Health(
                healthy=False,
                status="no answer",
                latency_ms=latency_ms,
                detail=f"{url}/api/health answered {answer.status_code} without a health report",
            )
        good = answer.is_success and told.status == "healthy"
        return Health(
            healthy=good,
            status="healthy" if good else "unhealthy",
            maintenance=told.maintenance,
            commit_sha=told.commit or _commit(client),
            latency_ms=latency_ms,
            detail="" if good else f"{url}/api/health answered {answer.status_code}: {answer.text[:200]}",
        )


def lets_in(url: str, bypass: SecretStr, *, transport: httpx.BaseTransport | None = None) -> bool | None:
    """Whether a protected build lets in who has the secret; None where it does not answer.

    Args:
        url: address of the build.
        bypass: the secret.
        transport: how requests are sent, for tests.
    """
    with application_client(url, bypass, transport) as client:
        try:
            answer = client.request("GET", "/api/version", seconds=TIMEOUT_S)
        except httpx.HTTPError:
            return None
        return answer.status_code not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def served_commit(url: str, *, transport: httpx.BaseTransport | None = None) -> str | None:
    """The commit that an address says it is built from; None where it does not say.

    Args:
        url: address of the application, open to everybody.
        transport: how requests are sent, for tests.
    """
    with application_client(url, None, transport) as client:
        return _commit(client)


def _commit(client: BoundedClient) -> str | None:
    try:
        answer = client.request("GET", "/api/version", seconds=TIMEOUT_S)
        return _Version.model_validate_json(answer.content).commit
    except (httpx.HTTPError, ValidationError):
        return None


def probe_reads(
    url: str, *, bypass: SecretStr | None, commit_sha: str | None, transport: httpx.BaseTransport | None = None
) -> tuple[Probe, ...]:
    """Read through a deployment; nothing is written.

    Args:
        url: address of the deployment.
        bypass: secret that opens a protected deployment.
        commit_sha: the commit that must answer; None where any may.
    """
    with application_client(url, bypass, transport) as client:
        return _reads(_Prober(client), commit_sha)


def smoke(
    url: str, *, bypass: SecretStr | None, commit_sha: str, transport: httpx.BaseTransport | None = None
) -> tuple[Probe, ...]:
    """Do through a deployment what a user does, writes included, and read back what was written. Never in production.

    Args:
        url: address of the deployment.
        bypass: secret that opens a protected deployment.
        commit_sha: the commit that must answer.

    Returns:
        The probes up to the first that failed; what follows from it is not tried.
    """
    with application_client(url, bypass, transport) as client:
        prober = _Prober(client)
        reads = _reads(prober, commit_sha)
        if any(not probe.ok for probe in reads):
            return reads
        with suppress(_StopError):
            _write_and_read_back(prober, run=f"{time.time_ns():x}")
        return tuple(prober.made)


def _reads(prober: "_Prober", commit_sha: str | None) -> tuple[Probe, ...]:
    with suppress(_StopError):
        prober.ask("GET", "/api/health", lambda body: _expect("status", _Health.model_validate(body).status, "healthy"))
        if commit_sha is not None:
            prober.ask(
                "GET", "/api/version", lambda body: _expect("commit", _Version.model_validate(body).commit, commit_sha)
            )
        prober.ask("GET", "/api/agents", _items)
        prober.ask("GET", "/api/conversations?limit=10", _items)
    return tuple(prober.made)


def _write_and_read_back(prober: "_Prober", run: str) -> None:
    email, slug, text = f"smoke-{run}@example.com", f"smoke-{run}", f"smoke test {run}"
    prober.ask("POST", "/api/users", _Item.model_validate, {"email": email, "name": "Smoke Test"})
    agent = {"slug": slug, "name": "Smoke Test", "category": "smoke", "userEmail": email}
    prober.ask("POST", "/api/agents", _Item.model_validate, agent)
    asked = {"userEmail": email, "agentSlug": slug, "title": text}
    conversation: _Item = prober.ask("POST", "/api/conversations", _Item.model_validate, asked)
    path = f"/api/conversations/{conversation.id}/messages"
    message: _Item = prober.ask("POST", path, _Item.model_validate, {"role": "user", "content": text})

    def is_there(body: Any) -> None:
        kept = {one.id: one.content for one in map(_Message.model_validate, _items(body))}
        _expect("the message that was written", kept.get(message.id), text)

    prober.ask("GET", path, is_there)


def _items(body: Any) -> list[Any]:
    """A list, or an object that holds one list."""
    if isinstance(body, list):
        return list(body)  # pyright: ignore[reportUnknownArgumentType]
    raise ValueError("the answer is not a list")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"{what} is {found!r}, not {wanted!r}")


class _StopError(Exception):
    """A probe failed, and the next ones follow from it."""


class _Prober:
    """Makes requests one after another, and notes each."""

    def __init__(self, client: BoundedClient) -> None:
        self._client = client
        self.made: list[Probe] = []

    def ask(self, method: str, path: str, read: Callable[[Any], Any], body: dict[str, str] | None = None) -> Any:
        """Make a request, and read its answer.

        Raises:
            _StopError: it was not answered as it must be.
        """
        began = time.perf_counter()
        detail, value = "", None
        try:
            answer = self._client.request(method, path, seconds=TIMEOUT_S, json=body)
            if not answer.is_success:
                raise ValueError(f"answered {answer.status_code}: {answer.text[:200]}")
            value = read(answer.json())
        except httpx.HTTPError as error:
            detail = _said(error)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            detail = f"the answer is not as it must be: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except ValueError as error:
            detail = str(error)
        latency_ms = (time.perf_counter() - began) * 1000
        self.made.append(Probe(method, path, not detail, latency_ms, detail))
        if detail:
            raise _StopError
        return value


@contextmanager
def application_client(
    url: str, bypass: SecretStr | None, transport: httpx.BaseTransport | None, *, most_bytes: int = MOST_BYTES
) -> Generator[BoundedClient]:
    """Open a client for the application at an address, let past a protection of deployments where there is a key.

    Args:
        url: the address.
        bypass: the key that Vercel lets automations in with; None sends none.
        transport: how requests are sent, for tests.
        most_bytes: how much of an answer is read.
    """
    headers = {} if bypass is None else {BYPASS_HEADER: bypass.get_secret_value()}
    with httpx.Client(
        base_url=url.rstrip("/"),
        headers=headers,
        timeout=TIMEOUT_S,
        transport=transport,
        verify=trusted_certificates(),
    ) as client:
        yield BoundedClient(client, most_bytes=most_bytes)


def _said(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        # Its message quotes the header, and the secret with it.
        return "no answer: VERCEL_AUTOMATION_BYPASS_SECRET is no header's value"
    return f"no answer ({type(error).__name__}: {error})" if str(error) else f"no answer ({type(error).__name__})"
