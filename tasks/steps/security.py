"""The security checklist, line by line: what the database, the repository and the application show."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from deployments.application.defence import Defence
from deployments.application.defences import encrypts_copies, limits_rate, validates_input
from deployments.git.tracked_secrets import no_secrets_tracked
from migrations.checks.security.checklist import Application, check_database
from migrations.checks.security.finding import Finding, State
from migrations.encryption.cipher import KeyRing

_STATES = {True: State.HOLDS, False: State.BROKEN, None: State.CANNOT_TELL}


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        dsn: direct connection string of the owner, a secret.
        application: how the application comes to the database.
        ring: the keys of encrypted columns; None where they are not at hand.
        url: where the application answers; None where that is not known.
        bypass: secret that opens a protected deployment.
        neon_api_url: address of Neon's API; None where the database is none of Neon's.
        repository: a folder of the working tree whose files are looked through.
    """

    dsn: str = field(repr=False)
    application: Application
    ring: KeyRing | None
    url: str | None
    bypass: SecretStr | None
    neon_api_url: str | None
    repository: Path


def check_security(subject: Subject) -> tuple[Finding, ...]:
    """Check the ten lines; nothing is changed anywhere.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    *first, tls = check_database(subject.dsn, ring=subject.ring, application=subject.application)
    return (
        *first,
        _finding("Connection strings are secrets", no_secrets_tracked(subject.repository)),
        _finding("Backups are encrypted", encrypts_copies(subject.neon_api_url)),
        tls,
        *_seen_from_outside(subject.url, subject.bypass),
    )


def _seen_from_outside(url: str | None, bypass: SecretStr | None) -> tuple[Finding, Finding]:
    unknown = Defence(None, "the application's address is not known: give --url")
    # Input first: a limit that the reads have met would turn the writes away.
    validated = validates_input(url, bypass=bypass) if url else unknown
    limited = limits_rate(url, bypass=bypass) if url else unknown
    return _finding("The API limits the rate of requests", limited), _finding("Inputs are validated", validated)


def _finding(line: str, seen: Defence) -> Finding:
    return Finding(line, _STATES[seen.holds], seen.detail)
