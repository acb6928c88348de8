"""How services are called: what may be repeated, how long to wait, and what an answer that says no becomes."""

import logging
import re
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import httpx
import stamina
from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from deployments.answers import MIB, BoundedClient, trusted_certificates
from deployments.call_budget import counter_of
from deployments.errors import LostReply, ServiceAnswerUnknown, ServiceError, ServiceRefused, ServiceUnreachable
from deployments.fence import Fence
from deployments.redaction.redactor import learn
from deployments.retry_after import LONGEST_S, asked_wait_s

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

Parameters = Mapping[str, str | int | bool]

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ANSWER_S = 60.0
MOST_BYTES = 32 * MIB
READ_ATTEMPTS = 5
_SERVER_ERROR = 500


Observer = Callable[[str, httpx.Response], None]
_observers: list[Observer] = []


@contextmanager
def observed(observer: Observer) -> Generator[None]:
    """Show every answer of any service to an observer while the block runs.

    Args:
        observer: told the service's name, and the answer with its request; it must not raise.
    """
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


class _Said(BaseModel):
    code: str | None = None
    message: str | None = None


class Service:
    """One service behind its base URL.

    Args:
        name: what it is called in errors.
        base_url: where it is.
        token: the key; it is sent and never shown.
        url_variable: the variable that holds the address, for advice.
        token_variable: the variable that holds the key, for advice.
        parameters: query parameters of every call.
        safe_to_retry: statuses with which the service promises that a change did not happen; after any other server
            error it may have.
        patience_s: for how long a change is tried while the service says that it is busy.
        calls_a_minute: the budget that its calls are counted against.
        fence: asked right before each change is sent, each time anew; None where a person asks.
        transport: how requests are sent, for tests.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        token: SecretStr,
        *,
        url_variable: str,
        token_variable: str,
        parameters: Parameters | None = None,
        safe_to_retry: frozenset[int],
        patience_s: float = 120.0,
        calls_a_minute: int,
        fence: Fence | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        learn(token)
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._url_variable = url_variable
        self._token_variable = token_variable
        self._parameters = dict(parameters or {})
        self._safe_to_retry = safe_to_retry
        self._patience_s = patience_s
        self._fence = fence
        self._counter = counter_of(name, calls_a_minute)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=TIMEOUT,
            transport=transport,
            verify=trusted_certificates(),
        )
        self._bounded = BoundedClient(self._client, most_bytes=MOST_BYTES)
        # A client is made where it is needed; its connections end with it.
        weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"Service({self._name!r}, {self._base_url!r})"

    def read(self, path: str, answer: type[M], parameters: Parameters | None = None) -> M:
        """GET and read the answer; repeated while the service cannot be reached, is busy or answers what is no JSON.

        Raises:
            ServiceError: no answer after some tries, or one that says no.
        """
        for attempt in stamina.retry_context(on=_read_again, attempts=READ_ATTEMPTS, timeout=self._patience_s):
            with attempt:
                return self._read_answer(self._send("GET", path, parameters, None), f"GET {path}", answer)
        raise AssertionError("unreachable")

    def change(
        self,
        method: str,
        path: str,
        answer: type[M],
        body: Mapping[str, JsonValue] | list[JsonValue] | None = None,
        parameters: Parameters | None = None,
    ) -> M | None:
        """Ask for a change; repeated only while the service says that nothing has happened.

        Returns:
            The answer; None where it has no body.

        Raises:
            LostReply: it may have happened: find out before asking again.
            ServiceError: it did not happen.
        """
        for attempt in stamina.retry_context(
            on=self._change_again, attempts=None, timeout=self._patience_s, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                if self._fence is not None:
                    self._fence.check(f"{method} {path}")
                got = self._send(method, path, parameters, body)
                if not got.content:
                    return None
                return self._read_change(got, f"{method} {path}", answer)
        raise AssertionError("unreachable")

    def stream(self, path: str, *, timeout_s: float) -> AbstractContextManager[httpx.Response]:
        """Open a GET whose answer comes line by line, and ends after that time."""
        self._counter.count()
        return self._bounded.stream("GET", self._base_url + path, seconds=timeout_s, params=self._parameters)

    def _send(self, method: str, path: str, parameters: Parameters | None, body: Any) -> httpx.Response:
        request = f"{method} {path}"
        self._counter.count()
        try:
            got = self._bounded.request(
                method,
                self._base_url + path,
                seconds=ANSWER_S,
                params={**self._parameters, **(parameters or {})},
                json=body,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceUnreachable(
                self._name,
                request,
                f"{self._base_url} does not answer ({type(error).__name__}): check {self._url_variable}, and that it is"
                " up (`pilotage local status` for the local platform)",
            ) from error
        except httpx.LocalProtocolError:
            # Its message quotes the header, and the key with it.
            raise ServiceError(
                self._name, request, f"cannot be asked: {self._token_variable} is no header's value: check it"
            ) from None
        except httpx.HTTPError as error:
            raise LostReply(self._name, request, f"the answer was lost ({type(error).__name__})") from error
        for observer in _observers:
            observer(self._name, got)
        lost = got.status_code >= _SERVER_ERROR and got.status_code not in self._safe_to_retry
        if lost and method != "GET":
            raise LostReply(self._name, request, f"the answer was lost ({got.status_code})", status=got.status_code)
        if not got.is_success:
            raise self._refused(request, got)
        return got

    def _change_again(self, error: Exception) -> bool | float:
        """Repeat a change only where the service has said that nothing happened.

        An address that refuses the connection is most often wrong: waiting for it would only hide that.
        """
        if isinstance(error, ServiceRefused) and error.status in self._safe_to_retry:
            return min(error.retry_after_s, LONGEST_S) if error.retry_after_s else True
        return False

    def _refused(self, request: str, got: httpx.Response) -> ServiceRefused:
        code, message = _said(got)
        advice = ""
        if got.status_code in {401, 403}:
            advice = f"; check {self._token_variable}"
        error = ServiceRefused(
            self._name,
            request,
            f"answered {got.status_code}{f' ({code})' if code else ''}: {message.removesuffix('.')}{advice}",
            status=got.status_code,
            code=code,
            message=message,
        )
        error.retry_after_s = asked_wait_s(got)
        return error

    def _read_answer(self, got: httpx.Response, request: str, answer: type[M]) -> M:
        try:
            return answer.model_validate_json(got.content)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ServiceAnswerUnknown(
                self._name,
                request,
                f"the answer is not what is documented: {where or 'body'}: {first['msg']}",
                transient=first["type"] == "json_invalid",
            ) from None

    def _read_change(self, got: httpx.Response, request: str, answer: type[M]) -> M:
        """Read the answer to a change; one that cannot be read may be a proxy's, or half of one."""
        try:
            return self._read_answer(got, request, answer)
        except ServiceAnswerUnknown as unknown:
            raise LostReply(self._name, request, f"the answer was lost ({unknown.reason})") from unknown


def _read_again(error: Exception) -> bool | float:
    if isinstance(error, ServiceRefused) and error.transient:
        return min(error.retry_after_s, LONGEST_S) if error.retry_after_s else True
    return isinstance(error, ServiceUnreachable) or (isinstance(error, ServiceAnswerUnknown) and error.transient)


def _said(got: httpx.Response) -> tuple[str, str]:
    """Code and message of an error body: Neon's, Vercel's, or the first words of anything else."""
    try:
        body = got.json()
    except ValueError:
        return "", re.sub(r"<[^>]*>|\s+", " ", got.text[:500]).strip()[:200] or "no body"
    try:
        told = _Said.model_validate(body.get("error", body))
    except (ValidationError, AttributeError):
        return "", "no message"
    return told.code or "", told.message or "no message"
