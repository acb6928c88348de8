"""The address of an application, as an option of a command."""

from typing import Annotated

import httpx
import typer


def _web_address(given: str | None) -> str | None:
    """Refuse what no request can be sent to, without a word of it."""
    try:
        url = httpx.URL(given.strip()) if given is not None else None
    except httpx.InvalidURL:
        url = httpx.URL()
    if url is not None and not (url.scheme in {"http", "https"} and url.host):
        message = "it is no address of an application, such as https://app.example.com"
        raise typer.BadParameter(message)
    return None if given is None else given.strip()


ApplicationAddress = Annotated[
    str | None, typer.Option(help="Where the application answers; PRODUCTION_URL by default.", callback=_web_address)
]
