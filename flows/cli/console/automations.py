"""What the Prefect server starts by itself, as `deployments/automations.yaml` says."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.cli.console.command_errors import CommandFailed
from flows.cli.console.locations import REPOSITORY_ROOT

FILE: Final = REPOSITORY_ROOT / "deployments" / "automations.yaml"
_EVENT: Final = "prefect.flow-run."
_HEARTBEAT: Final = f"{_EVENT}heartbeat"
_ENDS: Final = ("Completed", "Failed", "Crashed", "Cancelled")

Text = Annotated[str, Field(min_length=1)]
Ending = Literal["Completed", "Failed", "Crashed", "Cancelled"]


class Automation(BaseModel):
    """An automation.

    Attributes:
        flows: the flows whose runs it looks at.
        states: the states at which it starts something.
        silent_for_s: after so many seconds without a sign of life it does; None where it does not.
        starts: the deployment that it starts, as `flow/deployment`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    description: Text
    flows: Annotated[tuple[Text, ...], Field(min_length=1)]
    states: tuple[Ending, ...] = ()
    # Prefect lets a run give no sign of life more often than every 30 s.
    silent_for_s: Annotated[int, Field(ge=10)] | None = None
    starts: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]

    @model_validator(mode="after")
    def _looks_for_one_thing(self) -> Self:
        if bool(self.states) == (self.silent_for_s is not None):
            raise ValueError("give either `states` or `silent_for_s`")
        return self

    @property
    def trigger(self) -> EventTrigger:
        """It as Prefect knows it."""
        runs = ResourceSpecification({"prefect.resource.id": f"{_EVENT}*"})
        of = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": [*self.flows]})
        if self.silent_for_s is None:
            return EventTrigger(
                expect={f"{_EVENT}{state}" for state in self.states},
                match=runs,
                match_related=of,
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            )
        return EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"{_EVENT}{state}" for state in _ENDS)},
            match=runs,
            match_related=of,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=self.silent_for_s),
        )


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    automations: Annotated[tuple[Automation, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len({one.name for one in self.automations}) < len(self.automations):
            raise ValueError("two automations have the same name")
        return self


def read_automations(file: Path = FILE) -> tuple[Automation, ...]:
    """Read what a server is to start by itself.

    Raises:
        CommandFailed: the file cannot be read, or says something that is not understood.
    """
    try:
        return _File.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))).automations
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandFailed(f"{file} cannot be read: {error}; mend it, or take it from the commit") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in error.errors())
        raise CommandFailed(f"{file} is not understood: {wrong}; mend it, or take it from the commit") from error


def install_automations(client: SyncPrefectClient, file: Path = FILE) -> tuple[Automation, ...]:
    """Make what the server starts by itself, or bring it to what it should be; doing it again changes nothing.

    Args:
        client: of the server.
        file: what it should be.

    Returns:
        The automations.

    Raises:
        CommandFailed: the file is not understood; nothing was changed.
        ObjectNotFound: the server does not know a deployment; nothing was changed.
    """
    automations = read_automations(file)
    deployments = {one.starts: client.read_deployment_by_name(one.starts).id for one in automations}
    for one in automations:
        start = RunDeployment(
            source="selected", deployment_id=deployments[one.starts], parameters={}, job_variables=None
        )
        wanted = AutomationCore(name=one.name, description=one.description, trigger=one.trigger, actions=[start])
        found = client.read_automations_by_name(one.name)
        for left in found[1:]:
            client.delete_automation(left.id)
        if found:
            client.update_automation(found[0].id, wanted)
        else:
            client.create_automation(wanted)
    return automations
