"""Who may talk to the studio: a browser on this machine that brought the token, or was sent here by our own pages.

A page of somebody else's can let a browser send requests to 127.0.0.1, and a name of its own can be made to lead there;
and every user of this machine can open its ports.
"""

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NAMES = {"127.0.0.1", "localhost", "::1"}
_COOKIE = "pilotage_studio"
_READING = {"GET", "HEAD", "OPTIONS"}
_HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Loopback:
    """Refuses requests that were not meant for this machine, that another site's page has sent, or without the token.

    Args:
        app: what answers the others.
        token: what the first address must bring; a cookie remembers it. None where none is asked for.
    """

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        why = refusal(str(scope["method"]), headers)
        if why is None and self._token is not None:
            if self._is_token(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
                arrived = RedirectResponse(str(scope["path"]), status_code=303)
                arrived.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
                await arrived(scope, receive, send)
                return
            if not self._is_token(_cookie(headers)):
                why = "open the address that `pilotage studio` printed, with its token"
        if why is not None:
            await PlainTextResponse(f"{why}\n", status_code=403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _is_token(self, given: str) -> bool:
        return self._token is not None and secrets.compare_digest(given.encode(), self._token.encode())


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def refusal(method: str, headers: Headers) -> str | None:
    """Why a request is refused; None where it is not."""
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in _NAMES:
        return "the studio answers to 127.0.0.1 and localhost alone"
    if method in _READING:
        return None
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "a change was asked for by another site's page"
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return "a change was asked for by another site's page"
    return None
