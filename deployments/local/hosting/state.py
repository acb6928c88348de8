"""The state folder of a platform: its lock, the settings it wrote, and what it says about itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict

from deployments.local.errors import LocalPlatformError, PlatformRunningError
from deployments.local.hosting.installation import remove_data_root

_LOCK_S = 1
_ENDING_S = 10
_PLACES = {"PILOTAGE_HOME", "PILOTAGE_ENV_FILE", "PILOTAGE_DATA_HOME"}


class PlatformStatus(BaseModel):
    """A platform that is up: its process and where its services are."""

    model_config = ConfigDict(frozen=True)

    pid: int
    state: Path
    started_at: datetime
    neon_url: str
    vercel_url: str
    slack_url: str
    production_url: str
    control_url: str
    prefect_api_url: str | None = None

    @property
    def prefect_ui_url(self) -> str | None:
        """Return the address of Prefect's pages, where Prefect runs."""
        return self.prefect_api_url.removesuffix("/api") if self.prefect_api_url else None

    @property
    def urls(self) -> tuple[str, ...]:
        """Return the addresses of all servers."""
        every = (self.neon_url, self.vercel_url, self.slack_url, self.production_url, self.control_url)
        return every if self.prefect_api_url is None else (*every, self.prefect_api_url)


class StateFolder:
    """The files of one platform. The folder need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.services = self.path / "services"
        self.environment = self.path / "local.env"
        self._described = self.path / "platform.json"
        self._lock = self.path / "lock"

    def make(self) -> None:
        """Make the folder and those in it; what holds keys is for the owner alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.logs, self.services):
            folder.mkdir(mode=0o700, exist_ok=True)

    def take(self) -> int:
        """Take the lock for as long as this process lives, and return its file descriptor.

        Raises:
            PlatformRunningError: another process has it.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Whoever looks who holds the lock has it for an instant.
        deadline = time.monotonic() + _LOCK_S
        while not _flock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise PlatformRunningError(self.path, self._noted_pid())
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def holder(self) -> int | None:
        """Return the process that holds the lock; the lock itself is the truth, not the number in the file."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return None if _flock(descriptor, fcntl.LOCK_SH) else self._noted_pid()
        finally:
            os.close(descriptor)

    def describe(self, status: PlatformStatus, environment: dict[str, str]) -> None:
        """Write local.env and platform.json, each at once and whole, for the owner alone."""
        lines = [f"{name}={quoted(value)}\n" for name, value in environment.items()]
        write_private(self.environment, "".join(lines))
        write_private(self._described, status.model_dump_json(indent=2) + "\n")

    def described(self) -> PlatformStatus | None:
        """Return what the platform wrote of itself, which may be dead by now."""
        try:
            return PlatformStatus.model_validate_json(self._described.read_bytes())
        except FileNotFoundError:
            return None

    def read_environment(self) -> dict[str, str]:
        """Return the names and values of local.env; empty where there is none."""
        values = dotenv_values(self.environment, interpolate=False)
        return {name: value for name, value in values.items() if value is not None}

    def read_policy(self) -> dict[str, str]:
        """Return what local.env has of the pipeline's own settings: somebody has written them there."""
        return policy_of(self.read_environment())

    def forget(self) -> None:
        """Remove local.env and platform.json: nobody is to be led to a platform that is gone."""
        for file in (self.environment, self._described):
            file.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove all that a platform left here and in its data root, but its logs.

        Its processes must have ended, or be about to: after a kill the last servers go a moment after the lock.
        """
        self.forget()
        if not self.path.exists():
            return
        deadline = time.monotonic() + _ENDING_S
        while True:
            try:
                shutil.rmtree(self.services, ignore_errors=not self.services.exists())
                remove_data_root(self.path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def _noted_pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(self._lock.read_text(encoding="ascii"))
        return None


def _flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def policy_of(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the pipeline's own settings among others, but for those that say where things are."""
    found = {name: value for name, value in given.items() if value is not None and name.startswith("PILOTAGE_")}
    return {name: value for name, value in found.items() if name not in _PLACES}


def quoted(value: str) -> str:
    """Quote a value so that a shell and a reader of .env files see the same."""
    for quote, special in (("'", "'\\\n"), ('"', '"\\$`\n')):
        if not set(special) & set(value):
            return f"{quote}{value}{quote}"
    raise LocalPlatformError(
        f"{value!r} cannot be written to a file of settings: choose a state folder of plain letters"
    )


def write_private(path: Path, text: str) -> None:
    """Write a file at once and whole, for its owner alone."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.rename(path)
