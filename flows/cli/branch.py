"""`pilotage branch`: Neon branches for developers and for tests."""

import getpass
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from deployments.errors import WrongBranch
from deployments.ledger import Ledger, Release
from deployments.ledger.unclosed_releases import read_leftovers
from deployments.neon.client import Branch, NeonClient
from deployments.redaction.redacted_output import write_unredacted
from deployments.settings import NeonSettings, load_neon_settings
from flows.cli.console.command_errors import CommandFailed, exit_on_error

app = typer.Typer(help="Neon branches of one's own, or that expire.", no_args_is_help=True)
console = Console(highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of the branch.")]

_EXPIRY = re.compile(r"([1-9]\d{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_RELEASES_LOOKED_AT = 50
_LONGEST = timedelta(days=30)


@dataclass(frozen=True)
class BranchFacts:
    """A branch as the commands show it.

    Attributes:
        kind: production, staging, protected, or nothing of these.
        made_by: None where Neon does not say.
        expires_at: None where it stays until somebody deletes it.
    """

    name: str
    id: str
    kind: str
    parent: str | None
    state: str
    made_by: str | None
    created_at: datetime
    expires_at: datetime | None


def default_name() -> str:
    """The name of this user's own branch."""
    user = re.sub(r"[^a-z0-9]+", "-", getpass.getuser().lower()).strip("-")
    return f"dev-{user or 'branch'}"


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="Its name; dev-<user> by default.")] = None,
    parent: Annotated[Literal["main", "staging"], typer.Option("--from", help="What it is a copy of.")] = "main",
    expires: Annotated[
        str | None, typer.Option(help="Let Neon delete it after so long: 90m, 24h, 7d. It stays by default.")
    ] = None,
    compute: Annotated[bool, typer.Option("--compute/--no-compute", help="Whether it can be connected to.")] = True,
    as_json: AsJson = False,
) -> None:
    """Make a branch of production or staging, with all its rows; one that is there already stays as it is."""
    with exit_on_error():
        settings = load_neon_settings()
        client = _client(settings)
        wanted = name or default_name()
        above = settings.neon_production_branch if parent == "main" else settings.neon_staging_branch
        expires_at = datetime.now(UTC) + _span(expires) if expires else None
        before = next((one for one in client.branches() if one.name == wanted), None)
        made = client.create_branch(wanted, parent_id=client.branch(above).id, compute=compute, expires_at=expires_at)
        facts = _facts(made, settings, client.branches())
    if as_json:
        typer.echo(json.dumps(asdict(facts) | {"created": before is None}, indent=2, default=_plain))
        return
    if before is not None:
        console.print(f"{wanted} was there already, {_ago(made.created_at)} old; `pilotage branch delete` makes room")
    else:
        console.print(f"{wanted} is a copy of {above} as it is now{_until(made.expires_at)}")
    if compute:
        console.print(f"connect to it: DATABASE_URL=$(pilotage branch url {wanted})", soft_wrap=True)


@app.command(name="list")
def list_branches(as_json: AsJson = False) -> None:
    """List the branches: their age, when they expire, who made them."""
    with exit_on_error():
        settings = load_neon_settings()
        every = _client(settings).branches()
        facts = sorted((_facts(one, settings, every) for one in every), key=lambda one: one.created_at)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in facts], indent=2, default=_plain))
        return
    table = Table(box=None)
    for heading in ("Branch", "Is", "From", "Age", "Expires", "Made by"):
        table.add_column(heading, no_wrap=heading == "Branch")
    for one in facts:
        left = f"in {_span_text(one.expires_at - datetime.now(UTC))}" if one.expires_at else "never"
        table.add_row(one.name, one.kind, one.parent or "", _ago(one.created_at), left, one.made_by or "?")
    console.print(table)


@app.command()
def url(
    name: Name,
    pooled: Annotated[bool, typer.Option("--pooled", help="Through the pooler, for an application.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a branch's connection string, of the role that migrates; production's is not handed out."""
    with exit_on_error():
        settings = load_neon_settings()
        found = connection_string(_client(settings), settings, name, pooled=pooled)
    if as_json:
        host = make_url(found).host
        write_unredacted(json.dumps({"branch": name, "host": host, "pooled": pooled, "url": found}, indent=2))
    else:
        write_unredacted(found)


@app.command()
def delete(
    name: Name,
    reset_staging: Annotated[
        bool,
        typer.Option(
            "--reset-staging",
            help="Where staging hangs under it, make staging a copy of production first. What is in staging is lost.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a branch; not production, staging, a protected one, or one that a running release made."""
    with exit_on_error():
        settings = load_neon_settings()
        client = _client(settings)
        branch = client.branch(name)
        _refuse_needed(branch, settings)
        if reset_staging:
            _take_staging_off(branch, client, settings)
        _refuse_parent(branch, client.branches(), settings)
        client.delete_branch(branch.id)
    if as_json:
        typer.echo(json.dumps({"deleted": name, "id": branch.id}))
    else:
        console.print(f"{name} is deleted")


def connection_string(client: NeonClient, settings: NeonSettings, name: str, *, pooled: bool) -> str:
    """A connection string to a branch that is not production; a secret.

    Raises:
        CommandFailed: it is production, or has no compute.
        WrongBranch: Neon handed out the address of another branch.
    """
    branch = client.branch(name)
    production = client.branch(settings.neon_production_branch)
    if branch.id == production.id or branch.default:
        raise CommandFailed(f"{name} is production: work on a branch of it (`pilotage branch create`)")
    if not client.endpoints(branch.id):
        raise CommandFailed(f"{name} has no compute to connect to: delete it and create it without --no-compute")
    uri = client.connection_uri(
        branch.id, database=settings.neon_database, role=settings.neon_owner_role, pooled=pooled
    ).get_secret_value()
    address = _address(uri)
    direct = client.connection_uri(
        production.id, database=settings.neon_database, role=settings.neon_owner_role, pooled=pooled
    )
    if address == _address(direct.get_secret_value()):
        raise WrongBranch(f"Neon handed out production's address {address} for branch {name}")
    return uri


def _address(uri: str) -> str:
    parts = make_url(uri)
    return f"{parts.host}:{parts.port or 5432}"


def _client(settings: NeonSettings) -> NeonClient:
    return NeonClient(settings.neon_api_url, settings.neon_api_key, settings.neon_project_id)


def _refuse_needed(branch: Branch, settings: NeonSettings) -> None:
    from tasks.release_history import ReleaseHistory

    kind = _kind(branch, settings)
    if kind:
        raise CommandFailed(f"{branch.name} is {kind}: it is not deleted here")
    with Ledger.open(settings.ledger_url) as ledger:
        for release in ledger.releases(limit=_RELEASES_LOOKED_AT):
            if release.state not in {"running", "undecided"}:
                continue
            if not {branch.name, branch.id} & set(read_leftovers(release, ledger.steps(release.id)).branches):
                continue
            if not ReleaseHistory.read(ledger, release.target).is_past_rollback(release):
                raise CommandFailed(
                    f"release {release.id} is {release.state} and may need {branch.name} for its way back: end it "
                    f"first, {_how_to_end(release)}"
                )


def _how_to_end(release: Release) -> str:
    from tasks import record

    if release.state == "running":
        return f"`pilotage recover {release.id}` does where its process died"
    if undone := record.release_undone_by(release):
        return f"`pilotage rollback {undone}` goes on with it"
    return f"with `pilotage release keep {release.id}` or `pilotage rollback {release.id}`"


def _refuse_parent(branch: Branch, every: Sequence[Branch], settings: NeonSettings) -> None:
    """A restore leaves the branches that production had under its state before."""
    under = sorted(one.name for one in every if one.parent_id == branch.id)
    first = [f"`pilotage branch delete {name}`" for name in under if name != settings.neon_staging_branch]
    if len(first) < len(under):
        first.append(
            f"`pilotage branch delete {branch.name} --reset-staging` makes staging a copy of production, "
            "which takes it off"
        )
    if first:
        raise CommandFailed(f"{branch.name} has branches under it ({', '.join(under)}). First: {'; '.join(first)}")


def _take_staging_off(branch: Branch, client: NeonClient, settings: NeonSettings) -> None:
    """Make staging a copy of production, where it hangs under a branch that nothing else keeps."""
    from tasks.steps import staging

    every = client.branches()
    others = [one for one in every if one.name != settings.neon_staging_branch]
    _refuse_parent(branch, others, settings)
    if len(others) < len(every) and client.branch(settings.neon_staging_branch).parent_id == branch.id:
        staging.reset_by_hand(getpass.getuser())


def _kind(branch: Branch, settings: NeonSettings) -> str:
    if branch.default or branch.name == settings.neon_production_branch:
        return "production"
    if branch.name == settings.neon_staging_branch:
        return "staging"
    return "protected" if branch.protected else ""


def _facts(branch: Branch, settings: NeonSettings, every: Sequence[Branch]) -> BranchFacts:
    return BranchFacts(
        name=branch.name,
        id=branch.id,
        kind=_kind(branch, settings),
        parent=next((one.name for one in every if one.id == branch.parent_id), branch.parent_id),
        state=branch.current_state,
        made_by=branch.created_by.name if branch.created_by else None,
        created_at=branch.created_at,
        expires_at=branch.expires_at,
    )


def _span(text: str) -> timedelta:
    found = _EXPIRY.fullmatch(text.strip().lower())
    if found is None:
        raise CommandFailed(f"--expires {text}: give a number and m, h or d, such as 90m, 24h or 7d")
    span = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if span > _LONGEST:
        raise CommandFailed(f"--expires {text}: Neon lets a branch expire {_LONGEST.days} days ahead, and no later")
    # This machine's clock may be ahead of Neon's.
    return min(span, _LONGEST - timedelta(minutes=5))


def _ago(moment: datetime) -> str:
    return _span_text(datetime.now(UTC) - moment)


def _until(moment: datetime | None) -> str:
    return f", and goes in {_span_text(moment - datetime.now(UTC))}" if moment else ", and stays until it is deleted"


def _span_text(span: timedelta) -> str:
    minutes = max(round(span.total_seconds() / 60), 0)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
