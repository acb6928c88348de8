"""What `pilotage env check` looks at; nothing here tells a value."""

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from dotenv import dotenv_values

from deployments.connection_uri import is_ambiguous
from deployments.errors import SettingsError
from deployments.git.worktree import Worktree
from deployments.settings import Settings, is_placeholder, load_neon_settings, load_settings, variable
from flows.cli.console import variables
from flows.cli.console.database import is_readable
from migrations.database.direct_connections import refuse_pooler
from migrations.database.errors import ThroughPooler
from migrations.encryption.cipher import KeyRing
from migrations.encryption.errors import KeyRingMalformed
from migrations.errors import MALFORMED, MigrationError

Environment = Literal["development", "staging", "production"]

EXAMPLE = ".env.example"
_SECRETS = {"DATABASE_URL", "DATABASE_URL_POOLED", "ENCRYPTION_KEYS"}
# Parameters of an ORM's own, which libpq refuses.
_POOLED = "leads through a pooler, where migrations lose their locks and settings"
_FOREIGN = {"pgbouncer", "connection_limit", "pool_timeout", "schema"}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
        subject: the variable or the file.
        detail: what is wrong with it.
        advice: what to do.
    """

    subject: str
    detail: str
    advice: str


@dataclass(frozen=True)
class CommandRequirement:
    """What commands need before they can start.

    Attributes:
        commands: their names.
        missing: what they lack; empty where they can start.
        required: whether the environment cannot do without them.
    """

    commands: str
    missing: tuple[str, ...]
    required: bool


def command_requirements(environment: Environment) -> tuple[CommandRequirement, ...]:
    """Which commands lack what."""
    released = environment != "development"
    return (
        CommandRequirement("db, check, lint, schema", (), required=True),
        CommandRequirement("new, reset, seed, status, studio on the development database", _unfit(), not released),
        CommandRequirement("seed, rotate-keys (encrypted columns)", _lacking("ENCRYPTION_KEYS"), released),
        CommandRequirement("create-super-admin", _lacking("SUPER_ADMIN_EMAIL", "SUPER_ADMIN_NAME"), required=False),
        CommandRequirement("branch", _problems(load_neon_settings), released),
        CommandRequirement("release, rollback, recover, drift, ledger", _problems(load_settings), released),
    )


def unmet_requirements(every: Sequence[CommandRequirement]) -> Iterator[Finding]:
    """What is missing that the environment cannot do without, each once."""
    told: set[str] = set()
    for need in every:
        for problem in need.missing if need.required else ():
            # What is given and cannot be used is told with what to do about it.
            if problem not in told and not problem.endswith(_POOLED):
                told.add(problem)
                name, _, detail = problem.partition(" ")
                yield Finding(
                    name.rstrip(":"), detail, f"set it in the environment or in .env; {EXAMPLE} says what it is"
                )


def malformed_variables() -> Iterator[Finding]:
    """Variables that are given, and cannot be used as they are."""
    keys = variables.find_variable("ENCRYPTION_KEYS")
    if keys is not None and not is_placeholder(keys):
        try:
            KeyRing.parse(keys)
        except KeyRingMalformed as error:
            yield Finding("ENCRYPTION_KEYS", str(error), "docs/settings.md says how a key is made")
    url = variables.find_variable("DATABASE_URL")
    if url is not None and not is_placeholder(url):
        yield from _unusable(url)


def committed_settings_files(worktree: Worktree) -> Iterator[Finding]:
    """Files of settings that git keeps, or would keep."""
    for path in worktree.tracked:
        name = PurePosixPath(path).name
        if name != EXAMPLE and (name == ".env" or name.startswith(".env.")):
            advice = f"git rm --cached {path}, commit, and change every secret in it: the history keeps them"
            yield Finding(path, "is committed", advice)
    if not worktree.ignores(".env"):
        yield Finding(".gitignore", "does not leave out .env", "add the lines .env, .env.* and !.env.example")


def readable_settings_files(files: Sequence[Path]) -> Iterator[Finding]:
    """Files of settings that others on this machine can read."""
    for file in files:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(str(file), "can be read by others on this machine", f"chmod 600 {file}")


def example_findings(file: Path) -> Iterator[Finding]:
    """What the example of the settings lacks, and secrets that it holds."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        yield Finding(EXAMPLE, "is not there", "write one with every variable and a placeholder each")
        return
    given = dotenv_values(file, interpolate=False)
    fields = {variable(name): field for name, field in Settings.model_fields.items()}
    for name in (name for name, field in fields.items() if field.is_required() and name not in given):
        yield Finding(EXAMPLE, f"lacks {name}", f"add {name}=<placeholder>")
    for name in get_args(variables.Variable):
        if name not in given and f"{name}=" not in text:
            yield Finding(EXAMPLE, f"lacks {name}", f"add # {name}=")
    secret = {name for name, field in fields.items() if "SecretStr" in str(field.annotation)} | _SECRETS
    for name, value in given.items():
        if name in secret and value and not is_placeholder(value) and not value.startswith("sqlite:"):
            yield Finding(
                EXAMPLE, f"holds a value of {name}", "put a placeholder there, and change the secret: others have it"
            )


def settings_files(named: str | None, folder: Path) -> tuple[Path, ...]:
    """The files that hold settings here: the one that was named, and those that lie where they usually do."""
    usual = [path for path in folder.glob(".env*") if path.name != EXAMPLE]
    usual += (folder / ".pilotage").glob("*.env")
    every = [*([Path(named)] if named else []), *sorted(usual)]
    return tuple({path.resolve(): path for path in every if path.is_file()}.values())


def _lacking(*names: variables.Variable) -> tuple[str, ...]:
    found: Mapping[str, str | None] = {name: variables.find_variable(name) for name in names}
    return tuple(f"{name} {problem}" for name, value in found.items() if (problem := _problem(name, value)))


def _problem(name: str, value: str | None) -> str:
    if value is None:
        return "is missing"
    if is_placeholder(value):
        return "still holds a placeholder"
    return "cannot be read" if name == "DATABASE_URL" and not is_readable(value) else ""


def _unfit() -> tuple[str, ...]:
    url = variables.find_variable("DATABASE_URL")
    lacking = _lacking("DATABASE_URL")
    return lacking or ((f"DATABASE_URL {_POOLED}",) if url and _is_pooled(url) else ())


def _problems(load: Callable[[], object]) -> tuple[str, ...]:
    try:
        load()
    except SettingsError as error:
        return error.problems
    return ()


@lru_cache
def _is_pooled(url: str) -> bool:
    """Whether an address leads through a pooler: by its name, or by what answers there, if anything does."""
    try:
        refuse_pooler(url)
    except ThroughPooler:
        return True
    except MigrationError:
        return False
    return False


def _unusable(url: str) -> Iterator[Finding]:
    if _is_pooled(url):
        advice = "take the direct host: on Neon the same name without -pooler, elsewhere the server's own"
        yield Finding("DATABASE_URL", _POOLED, advice)
    if "://" not in url and is_readable(url):
        return
    if is_ambiguous(url):
        yield Finding("DATABASE_URL", "cannot be read", MALFORMED)
        return
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or not parts.hostname:
        yield Finding(
            "DATABASE_URL", "is no address of a PostgreSQL database", "write postgresql://<user>:<password>@host/db"
        )
        return
    if foreign := sorted(_FOREIGN & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}):
        yield Finding("DATABASE_URL", f"has {', '.join(foreign)}, which PostgreSQL refuses", "leave it out")
