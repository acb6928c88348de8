"""Who may talk to the studio: a browser on this machine that was sent here by the studio's own pages.

A page of somebody else's can let a browser send requests to 127.0.0.1, and a name of its own can be made to lead there.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NAMES = {"127.0.0.1", "localhost", "::1"}
_READING = {"GET", "HEAD", "OPTIONS"}
_HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Loopback:
    """Refuses requests that were not meant for this machine, or that another site's page has sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        why = refusal(str(scope["method"]), Headers(scope=scope))
        if why is not None:
            await PlainTextResponse(f"{why}\n", status_code=403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


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
