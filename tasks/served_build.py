"""Which build production serves, asked from its address as well: what Vercel says of it is not taken on trust."""

import time
from dataclasses import dataclass

from deployments.application import endpoints
from deployments.errors import PromotionFailed
from deployments.settings import Settings
from deployments.vercel.client import Deployment
from tasks import connections

# How long an address that has just been moved may still be answered by the build before.
SPREAD_S = 20.0
_POLL_S = 0.5


@dataclass(frozen=True)
class Disagreement:
    """An address that does not serve what Vercel says that it serves.

    Attributes:
        detail: what each of them says.
        advice: what to do.
    """

    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.detail}: {self.advice}"


def disagreement(settings: Settings, serving: Deployment | None) -> Disagreement | None:
    """Why production's address does not serve what Vercel says that it serves; None where it does, or tells nothing.

    Two builds of one commit cannot be told apart by what they say of themselves. Another answer is not believed before
    it has lasted: the address may have moved a moment ago.

    Args:
        settings: the worker's settings.
        serving: the deployment that Vercel says production's address serves; None where it says that it serves none.
    """
    url = connections.production_url(settings)
    ends = time.monotonic() + SPREAD_S
    while True:
        answered = endpoints.served_commit(url)
        if answered is None or (serving is not None and answered == serving.commit_sha):
            return None
        if time.monotonic() > ends:
            break
        time.sleep(_POLL_S)
    said = f"{serving.id} (commit {serving.commit_sha[:12]})" if serving else "no deployment"
    return Disagreement(
        f"Vercel says that production serves {said}, but {url}/api/version is answered by commit {answered[:12]}",
        "look at the project's deployments and domains, whether PRODUCTION_URL is a domain of this project that follows"
        " its production deployment, and promote the build that shall serve",
    )


def refuse_disagreement(settings: Settings, deployment_id: str) -> None:
    """Make sure that production's address serves a deployment, as Vercel says that it does.

    Raises:
        PromotionFailed: it is answered by another commit.
    """
    why = disagreement(settings, connections.vercel(settings).deployment(deployment_id))
    if why is not None:
        raise PromotionFailed(str(why))
