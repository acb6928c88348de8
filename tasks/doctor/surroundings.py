"""What a release needs beside Neon and Vercel: its ledger, its repository, Slack, and Prefect's server."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectException, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from deployments.ledger import Ledger, Message
from deployments.settings import Settings
from tasks import connections
from tasks.doctor.finding import Finding, bad, cannot_tell, good

FLOWS = ("release", "rollback", "recover", "watchdog", "drift-check")
POOL = "pilotage"
_REFUSED = 401
_SLACK_PATH = re.compile(r"/services/T\w+/B\w+/[\w-]+")


def ledger_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the ledger answers, and what its newest release and message say. It is not brought to head.

    Raises:
        LedgerError: it does not answer, or is none.
    """
    at_head = Ledger.is_at_head(settings.ledger_url)
    if at_head is None:
        yield good("ledger", "it is a file that is not there yet: the first release makes it")
    elif not at_head:
        yield good("ledger", "it answers, and is empty or of an earlier version: the next release brings it to head")
    if not at_head:
        yield _slack(settings, None)
        return
    with connections.ledger(settings) as ledger:
        newest = next(iter(ledger.releases(target=settings.target, limit=1)), None)
        message = ledger.newest_message(settings.target)
    if newest is not None and newest.state == "running":
        yield cannot_tell(
            "ledger",
            f"release {newest.id} is running, or its process is gone",
            f"wait for its end, or let `pilotage recover {newest.id}` finish it",
        )
    else:
        has = "has no release yet" if newest is None else f"its newest release is {newest.id}, {newest.state}"
        yield good("ledger", f"it answers, and {has}")
    yield _slack(settings, message)


def repository_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the repository can be read.

    Raises:
        RepositoryUnreachable: it cannot.
    """
    refs = connections.repository(settings).refs()
    if refs:
        yield good("repository", f"it can be read, and has {len(refs)} branches and tags")
    else:
        yield bad("repository", "it has neither a branch nor a tag", "push what is to be released")


def prefect_findings() -> Iterator[Finding]:
    """Whether Prefect's server has our flows, and somebody who runs them."""
    server = PREFECT_API_URL.value()
    if not server:
        yield bad("Prefect server", "nobody said where it is", "set PREFECT_API_URL, as http://HOST:PORT/api")
        return
    try:
        with get_client(sync_client=True) as client:
            yield from _prefect(client)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        key = "set PREFECT_API_AUTH_STRING to the server's key" if status == _REFUSED else "look at the server's log"
        yield bad("Prefect server", f"it answered {status}", key)
    except (PrefectException, httpx.HTTPError, RuntimeError) as error:
        why = f"{server} does not answer ({type(error).__name__})"
        yield bad("Prefect server", why, "check PREFECT_API_URL, and start it")


def _prefect(client: SyncPrefectClient) -> Iterator[Finding]:
    missing: list[str] = []
    for name in FLOWS:
        try:
            client.read_deployment_by_name(f"{name}/{name}")
        except ObjectNotFound:
            missing.append(name)
    yield good("Prefect server", "it answers, and takes the key")
    if missing:
        yield bad("Prefect flows", f"the server lacks {', '.join(missing)}", "run `prefect --no-prompt deploy --all`")
    else:
        yield good("Prefect flows", f"the server has {', '.join(FLOWS)}")
    line = "Prefect work pool"
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        yield bad(
            line,
            f"there is no work pool {POOL}",
            f"make it: prefect work-pool create {POOL} --type process --base-job-template deployments/work-pool.json",
        )
        return
    status = str(pool.status.value).lower() if pool.status is not None else "of a state that is not told"
    if pool.is_paused:
        yield bad(line, f"{POOL} is paused", f"let it go on: prefect work-pool resume {POOL}")
    elif status == "ready":
        yield good(line, f"a worker takes what {POOL} is given")
    else:
        why = f"no worker takes what {POOL} is given: it is {status.replace('_', ' ')}"
        yield bad(line, why, "run `pilotage worker`")


def _slack(settings: Settings, newest: Message | None) -> Finding:
    """What is known of the webhook without a word to the channel."""
    line, url = "Slack", urlsplit(settings.slack_webhook_url.get_secret_value())
    if _SLACK_PATH.fullmatch(url.path) is None:
        return bad(
            line,
            "SLACK_WEBHOOK_URL is no address of an incoming webhook",
            "take it from the app's page, as https://hooks.slack.com/services/T…/B…/…",
        )
    if newest is not None and newest.state == "sent":
        return good(line, f"it took the newest message, of {newest.at:%Y-%m-%d %H:%M} UTC")
    if newest is not None:
        return bad(
            line,
            f"it has not taken the newest message, of {newest.at:%Y-%m-%d %H:%M} UTC: {newest.state}",
            "look whether the webhook is there and its channel not archived; the watchdog sends what waits",
        )
    return cannot_tell(line, "whether the webhook is let in tells its first message alone", "the first release tells")
