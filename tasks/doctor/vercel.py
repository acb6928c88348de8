"""Vercel: the token, the team and the project, its variables, its Edge Config, and what production's address serves."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from deployments.application import endpoints
from deployments.errors import ServiceRefused
from deployments.settings import Settings
from deployments.vercel.client import VercelClient, VercelProject
from deployments.vercel.inspection import Token
from tasks import builds, connections, served_build
from tasks.builds import DSN_VARIABLE
from tasks.doctor.finding import Finding, bad, cannot_tell, good

_MAY_DEPLOY = {"OWNER", "MEMBER", "ADMIN"}
_MAY_NOT = {"VIEWER", "VIEWER_FOR_PLUS", "BILLING", "SECURITY", "CONTRIBUTOR"}
_SOON = timedelta(days=7)
MAINTENANCE = "maintenance"


def token_findings(client: VercelClient, now: Callable[[], datetime]) -> Iterator[Finding]:
    """What is told of the token and its holder; a token may be let ask less than it may do.

    Raises:
        ServiceError: Vercel cannot be asked.
    """
    try:
        yield _token(client.inspection.token(), now())
    except ServiceRefused as refused:
        yield cannot_tell("Vercel token", f"it may not be asked what it reaches ({refused.status})")
    try:
        membership = client.inspection.team().membership
    except ServiceRefused as refused:
        yield cannot_tell("Vercel team", f"the token may not ask what its holder is in it ({refused.status})")
        return
    role = membership.role if membership is not None else None
    if role in _MAY_DEPLOY:
        yield good("Vercel team", f"the token's holder is {role}", "MEMBER is enough" if role != "MEMBER" else "")
    elif role in _MAY_NOT:
        yield bad(
            "Vercel team",
            f"the token's holder is {role}, and may not deploy to production",
            "take the token of a MEMBER of the team",
        )
    else:
        yield cannot_tell("Vercel team", f"the token's holder is {role or 'nothing that is told'} in it")


def project_findings(settings: Settings, client: VercelClient) -> Iterator[Finding]:
    """What is told of the project.

    Raises:
        ServiceError: Vercel cannot be asked, or says no.
    """
    project = client.project()
    yield good("Vercel project", f"{project.name} ({project.id})")
    yield _link(settings, project)
    yield from _variables(client)
    yield _config(settings, client)


def address_findings(settings: Settings, client: VercelClient) -> Iterator[Finding]:
    """Whether production's address serves what Vercel says.

    Raises:
        ServiceError: Vercel cannot be asked, or says no.
    """
    line, url = "production's address", connections.production_url(settings)
    serving = client.production_deployment()
    if (other := served_build.disagreement(settings, serving)) is not None:
        yield bad(line, other.detail, other.advice)
    elif serving is None:
        yield cannot_tell(line, f"nothing serves yet at {url}", "the first release tells")
    elif (commit := endpoints.served_commit(url)) is None:
        yield cannot_tell(
            line,
            f"{url}/api/version does not say which commit it is",
            'let the application answer GET /api/version with {"commit": …}, and look whether it is up',
        )
    else:
        yield good(line, f"it serves {serving.id} (commit {commit[:12]}), as Vercel says")


def bypass_findings(settings: Settings, client: VercelClient) -> Iterator[Finding]:
    """Whether the secret lets automations into protected builds.

    Raises:
        ServiceError: Vercel cannot be asked, or says no.
    """
    line, secret = "protection bypass", settings.vercel_automation_bypass_secret
    advice = "set VERCEL_AUTOMATION_BYPASS_SECRET to the project's, under Deployment Protection in its settings"
    known = client.inspection.opens_builds(secret)
    if known is not None:
        yield (
            good(line, "the secret is one of the project's")
            if known
            else bad(line, "the secret is none of the project's", advice)
        )
        return
    newest = client.inspection.newest_build_id()
    if newest is None:
        yield cannot_tell(line, "Vercel does not list the project's secrets, and there is no build to try it on")
    elif (let_in := endpoints.lets_in(client.deployment(newest).url, secret)) is None:
        yield cannot_tell(line, "the newest build does not answer")
    elif let_in:
        yield good(line, "the newest build lets in who has the secret")
    else:
        yield bad(line, "the newest build does not let in who has the secret", advice)


def _token(token: Token, now: datetime) -> Finding:
    line, ends = "Vercel token", token.expires_at
    if ends is not None and ends < now + _SOON:
        return bad(
            line, f"it ends at {ends:%Y-%m-%d %H:%M} UTC", "make another one, scoped to the team, and set VERCEL_TOKEN"
        )
    until = f"until {ends:%Y-%m-%d}" if ends is not None else "without an end"
    if token.scopes and all(scope.type == "team" for scope in token.scopes):
        return good(line, f"it reaches one team, {until}")
    return good(line, f"it reaches the whole account, {until}", "a token scoped to the team is enough")


def _link(settings: Settings, project: VercelProject) -> Finding:
    line, link = "git connection", project.link
    advice = "connect the project to the repository of RELEASE_REPOSITORY in its settings, under Git"
    if link is None or link.source("ref", "sha") is None:
        return bad(line, "the project is connected to no repository that a build can be asked for of", advice)
    if link.name is None:
        return cannot_tell(line, f"a repository of {link.type}, whose name Vercel does not say")
    released, name = settings.release_repository.removesuffix("/").removesuffix(".git").lower(), link.name.lower()
    if released.endswith((f"/{name}", f":{name}")):
        return good(line, f"{link.name} of {link.type}, which is released")
    return bad(line, f"the project builds {link.name} of {link.type}, and RELEASE_REPOSITORY is another", advice)


def _variables(client: VercelClient) -> Iterator[Finding]:
    line = f"variable {DSN_VARIABLE}"
    shared = builds.shared_variables(client, None)
    for why in shared:
        yield bad(line, why, f"let {DSN_VARIABLE} serve one environment each")
    readable = [one for one in client.variables() if one.key == DSN_VARIABLE and one.type != "sensitive"]
    if not shared and readable:
        yield good(
            line,
            "no environment is given another's; members of the team can read it",
            "remove it: the next release makes it sensitive",
        )
    elif not shared:
        yield good(line, "no environment is given another's")


def _config(settings: Settings, client: VercelClient) -> Finding:
    line = "Edge Config"
    items = {one.key: one.value for one in client.inspection.config_items(settings.vercel_config_id)}
    if MAINTENANCE not in items:
        return good(line, f"it has no item {MAINTENANCE} yet: whoever refuses writes makes it")
    if not isinstance(items[MAINTENANCE], bool):
        return bad(line, f"its item {MAINTENANCE} is neither true nor false", "set it to false")
    if items[MAINTENANCE]:
        advice = f"finish what it is for, then set the item {MAINTENANCE} to false"
        return bad(line, "production is in maintenance mode", advice)
    return good(line, f"its item {MAINTENANCE} is off")
