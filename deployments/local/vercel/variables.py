"""The environment variables of a local Vercel project: which builds each is given to, and what may not be changed."""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass, field

from deployments.local.errors import RefusedError

_TARGETS = {"production", "preview", "development"}
_TYPES = {"system", "encrypted", "plain", "sensitive"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Variable:
    """An environment variable of the builds to come.

    Attributes:
        target: whose builds are given it.
        git_branch: the branch whose previews alone are given it; None for all.
    """

    key: str
    value: str
    type: str
    target: list[str]
    git_branch: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    updated_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def is_given_to(self, environment: str, ref: str) -> bool:
        """Whether a build of a ref for an environment is given it."""
        return environment in self.target and self.git_branch in {None, ref}

    def meets(self, other: Variable) -> bool:
        """Whether some builds would be given both."""
        return (
            self.key == other.key
            and self.git_branch == other.git_branch
            and not set(self.target).isdisjoint(other.target)
        )

    def _serves_as(self, other: Variable) -> bool:
        return self.git_branch == other.git_branch and set(self.target) == set(other.target)

    def refuse_change_to(self, other: Variable) -> None:
        """Refuse what an upsert does not do: split a variable by target, or give it another secrecy.

        Raises:
            RefusedError: 400.
        """
        if not self._serves_as(other):
            raise _conflict(self.key)
        if other.type != self.type and "sensitive" in {self.type, other.type}:
            raise RefusedError(400, "The type of a sensitive Environment Variable cannot be changed.", "bad_request")


class Variables:
    """The variables of a project; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._every: dict[str, Variable] = {}

    def every(self) -> list[Variable]:
        """Every variable, oldest first."""
        with self._lock:
            return [*self._every.values()]

    def baked(self, environment: str, ref: str) -> dict[str, str]:
        """What a build of a ref for an environment is given: a variable of the branch's own goes before."""
        given = [one for one in self.every() if one.is_given_to(environment, ref)]
        return {one.key: one.value for one in sorted(given, key=lambda one: one.git_branch is not None)}

    def set(self, wanted: Variable, *, upsert: bool) -> Variable:
        """Set a variable.

        Raises:
            RefusedError: 400 where it is malformed, or one that some builds are given exists and is not the same, or
                upsert was not asked for.
        """
        _refuse_malformed(wanted)
        with self._lock:
            met = [one for one in self._every.values() if one.meets(wanted)]
            if met and not upsert:
                raise _conflict(wanted.key)
            for one in met:
                one.refuse_change_to(wanted)
            if met:
                (there,) = met
                there.value, there.type = wanted.value, wanted.type
                there.updated_ms = time.time_ns() // 1_000_000
                return there
            self._every[wanted.id] = wanted
            return wanted

    def remove(self, variable_id: str) -> Variable:
        """Remove a variable.

        Raises:
            RefusedError: 404 where there is none.
        """
        with self._lock:
            if variable_id not in self._every:
                raise RefusedError(404, "The environment variable could not be found.", "not_found")
            return self._every.pop(variable_id)


def _conflict(key: str) -> RefusedError:
    message = f"Another Environment Variable with the Name and Environment provided already exists: {key}."
    return RefusedError(400, message, "ENV_CONFLICT")


def _refuse_malformed(wanted: Variable) -> None:
    why = ""
    if _NAME.fullmatch(wanted.key) is None:
        why = "The name contains invalid characters."
    elif wanted.type not in _TYPES:
        why = f"`type` should be equal to one of the allowed values {', '.join(sorted(_TYPES))}."
    elif not wanted.target or not set(wanted.target) <= _TARGETS:
        why = f"`target` must be some of {', '.join(sorted(_TARGETS))}."
    elif wanted.type == "sensitive" and "development" in wanted.target:
        why = "You cannot set a Sensitive Environment Variable's target to development."
    elif wanted.git_branch is not None and wanted.target != ["preview"]:
        why = "`gitBranch` is for previews alone."
    if why:
        raise RefusedError(400, why, "bad_request")
