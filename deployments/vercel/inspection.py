"""What is asked of Vercel by whoever wants to know whether a release could run; every question is a read."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, SecretStr

from deployments.service import Service
from deployments.vercel.values import Deployments


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class TokenScope(_Value):
    """What a token reaches: a user's account with all of its teams, or one team."""

    type: str
    team_id: str | None = Field(default=None, alias="teamId")


class Token(_Value):
    """The token that is used.

    Attributes:
        scopes: what it reaches.
        expires_ms: when it ends, in milliseconds since 1970; None where it does not.
    """

    name: str = ""
    scopes: tuple[TokenScope, ...] = ()
    expires_ms: int | None = Field(default=None, alias="expiresAt")

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; None where it does not."""
        return None if self.expires_ms is None else datetime.fromtimestamp(self.expires_ms / 1000, UTC)


class _TokenAnswer(_Value):
    token: Token


class Membership(_Value):
    """What the token's holder is in a team."""

    role: str


class Team(_Value):
    """A team."""

    id: str
    slug: str = ""
    membership: Membership | None = None


class ConfigItem(_Value):
    """An item of an Edge Config."""

    key: str
    value: JsonValue = None


class _ConfigItems(RootModel[tuple[ConfigItem, ...]]):
    pass


class _Bypass(_Value):
    scope: str = ""


class _Protection(_Value):
    bypass: dict[str, _Bypass] | None = Field(default=None, alias="protectionBypass", repr=False)


class Inspection:
    """Questions about what a client uses.

    Args:
        service: Vercel.
        team_id: the team.
        project_id: the project.
    """

    def __init__(self, service: Service, team_id: str, project_id: str) -> None:
        self._service = service
        self._team_id = team_id
        self._project_id = project_id

    def token(self) -> Token:
        """The token that is used."""
        return self._service.read("/v5/user/tokens/current", _TokenAnswer).token

    def team(self) -> Team:
        """The team, with what the token's holder is in it."""
        return self._service.read(f"/v2/teams/{self._team_id}", Team)

    def opens_builds(self, secret: SecretStr) -> bool | None:
        """Whether a secret is one that lets automations into protected builds; None where Vercel does not list them."""
        listed = self._service.read(f"/v9/projects/{self._project_id}", _Protection).bypass
        if listed is None:
            return None
        found = listed.get(secret.get_secret_value())
        return found is not None and found.scope == "automation-bypass"

    def config_items(self, config_id: str) -> tuple[ConfigItem, ...]:
        """The items of an Edge Config."""
        return self._service.read(f"/v1/edge-config/{config_id}/items", _ConfigItems).root

    def newest_build_id(self) -> str | None:
        """The newest build that is ready; None where there is none."""
        asked = {"projectId": self._project_id, "limit": 1, "state": "READY"}
        found = self._service.read("/v6/deployments", Deployments, asked).deployments
        return found[0].uid if found else None
