"""What the Prefect server starts by itself: recovery, where the run of a release or rollback was cut off."""

from datetime import timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME: Final = "pilotage recovery"
DESCRIPTION: Final = "Finishes a release or rollback whose run crashed or was cancelled."
# A recovery that is cut off itself is started again.
WATCHED_FLOWS: Final = ["release", "rollback", "recover"]
CUT_OFF: Final = {"prefect.flow-run.Crashed", "prefect.flow-run.Cancelled"}


def install_automations(client: SyncPrefectClient, recovery: str) -> None:
    """Make what the server starts by itself, or bring it to what it should be; doing it again changes nothing.

    Args:
        client: of the server.
        recovery: the deployment that finishes what was cut off, as `flow/deployment`.

    Raises:
        ObjectNotFound: the server does not know the deployment.
    """
    deployment = client.read_deployment_by_name(recovery)
    wanted = AutomationCore(
        name=NAME,
        description=DESCRIPTION,
        trigger=EventTrigger(
            expect=CUT_OFF,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": WATCHED_FLOWS}
            ),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="selected", deployment_id=deployment.id, parameters={}, job_variables=None)],
    )
    found = client.read_automations_by_name(NAME)
    for left in found[1:]:
        client.delete_automation(left.id)
    if found:
        client.update_automation(found[0].id, wanted)
    else:
        client.create_automation(wanted)
