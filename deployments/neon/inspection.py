"""What is asked of Neon by whoever wants to know whether a release could run; every question is a read."""

from pydantic import BaseModel, ConfigDict

from deployments.service import Service


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class KeyHolder(_Value):
    """Whose key an API key is.

    Attributes:
        auth_method: such as `api_key_user` or `api_key_org`.
    """

    account_id: str
    auth_method: str


class Plan(_Value):
    """The plan that a project is on.

    Attributes:
        branches_limit: how many branches it includes.
        subscription_type: its name, such as `free_v3` or `launch`.
    """

    branches_limit: int
    subscription_type: str

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing: then it has no slot for a protected branch."""
        return self.subscription_type.startswith("free")


class _Owned(_Value):
    owner: Plan | None = None


class _OwnedAnswer(_Value):
    project: _Owned


class Inspection:
    """Questions about what a client uses.

    Args:
        service: Neon.
        at: path of the project.
    """

    def __init__(self, service: Service, at: str) -> None:
        self._service = service
        self._at = at

    def key_holder(self) -> KeyHolder:
        """Whose key is used."""
        return self._service.read("/auth", KeyHolder)

    def plan(self) -> Plan | None:
        """The plan that the project is on; None where Neon does not say."""
        return self._service.read(self._at, _OwnedAnswer).project.owner
