"""How often each release and rollback of a bench has called the services, beside the budget of a minute."""

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from deployments.call_budget import CallCounts
from tasks import connections, record

console = Console(highlight=False)

_counts = TypeAdapter(dict[str, CallCounts])


def show() -> None:
    """Print the calls of every release in the ledger.

    Raises:
        SystemExit: one has called a service more often than it may.
    """
    table = Table("release", "became", "service", "calls", "most in a minute", "budget")
    over: list[str] = []
    settings = connections.settings()
    with connections.ledger(settings) as ledger:
        for release in reversed(ledger.releases(target=settings.target, limit=None)):
            noted = [one for one in ledger.steps(release.id) if one.step == record.CALLS]
            counts = _counts.validate_python(noted[-1].details) if noted else {}
            for service, one in counts.items():
                table.add_row(
                    release.ref, release.state, service, str(one.calls), str(one.most_a_minute), str(one.budget)
                )
                over += () if one.within_budget else [f"{release.ref} called {service} {one.most_a_minute} times"]
    console.print(table)
    if over:
        raise SystemExit(f"over the budget of a minute: {'; '.join(over)}")
