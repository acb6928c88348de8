"""The environment variables of a Vercel project: each is read before it is written, and again afterwards.

Source: the API's own rules: a variable may serve several targets at once, and an upsert does not split it by target: a
list of targets that only overlaps with the one that is there is refused with `ENV_CONFLICT`; an answer of 201 may name
in `failed` what was not made; a variable that is there cannot become `sensitive`, and the value of a sensitive one,
which production and previews alone may have, is never given back.
"""

import logging
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, field_validator

from deployments.errors import LostReply, ServiceRefused, SharedVariable, VariableNotSet
from deployments.service import Service

log = logging.getLogger(__name__)

Target = Literal["production", "preview"]

_ASKS = 3
_CONFLICT = "ENV_CONFLICT"
_CREATED = 201


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Variable(_Value):
    """A variable as the list shows it; its value is not read.

    Attributes:
        target: the environments whose builds are given it.
        git_branch: the one branch whose previews are given it; None for all.
        custom_environments: the ids of further environments of the project's own.
    """

    id: str
    key: str
    type: str
    target: tuple[str, ...] = ()
    git_branch: str | None = Field(default=None, alias="gitBranch")
    custom_environments: tuple[str, ...] = Field(default=(), alias="customEnvironmentIds")

    @field_validator("target", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value or ()

    @field_validator("custom_environments", mode="before")
    @classmethod
    def _none_at_all(cls, value: object) -> object:
        return value or ()

    @property
    def serves(self) -> tuple[str, ...]:
        """Every environment whose builds are given it."""
        own = [f"the environment {one}" for one in self.custom_environments]
        return (*self.target, *own)


class _Variables(_Value):
    envs: tuple[Variable, ...]


class _Reason(_Value):
    code: str = ""


class _NotMade(_Value):
    error: _Reason = _Reason()


class _Written(_Value):
    failed: tuple[_NotMade, ...] = ()


class Variables:
    """The variables of one project.

    Args:
        service: Vercel.
        project_id: the project.
    """

    def __init__(self, service: Service, project_id: str) -> None:
        self._service = service
        self._project_id = project_id
        self._at = f"/v10/projects/{project_id}/env"

    def every(self) -> tuple[Variable, ...]:
        """Every variable of the project, without values."""
        return self._service.read(self._at, _Variables).envs

    def of(self, key: str, target: Target, *, git_ref: str | None = None, written: bool = False) -> Variable | None:
        """The variable that builds for a target are given, and no other builds; None where there is none.

        Args:
            key: its name.
            target: the target.
            git_ref: the branch that is built: a variable of its own would go before.
            written: whether it has just been written.

        Raises:
            SharedVariable: other builds are given it as well, or the branch has one of its own.
        """
        found = [one for one in self.every() if one.key == key and target in one.target]
        for one in found:
            others = [served for served in one.serves if served != target]
            if others:
                raise SharedVariable(key, one.id, self._project_id, target, others, written=written)
            if one.git_branch is not None and one.git_branch == git_ref:
                raise SharedVariable(key, one.id, self._project_id, target, [], git_branch=one.git_branch)
        return next((one for one in found if one.git_branch is None), None)

    def set(self, key: str, value: SecretStr, *, target: Target, git_ref: str | None = None) -> None:
        """Set a variable for the builds to come of one target; no other target is given the value.

        A new variable is `sensitive`. One that is there keeps its type.

        Args:
            key: its name.
            value: its value; it is never told.
            target: the target.
            git_ref: the branch that will be built.

        Raises:
            SharedVariable: another target would be given the value, and nothing was written; or it is given it, because
                somebody changed the variable at that moment, and the error says so.
            VariableNotSet: Vercel answered that it did not set it, or does not show it.
            ServiceError: it could not be asked, or refused.
        """
        for left in range(_ASKS - 1, -1, -1):
            there = self.of(key, target, git_ref=git_ref)
            try:
                self._write(key, value, target, there)
            except LostReply:
                if not left:
                    raise
                log.warning("Vercel's reply to the writing of %s was lost: writing it again", key)
            except ServiceRefused as refused:
                if refused.code != _CONFLICT or not left:
                    raise
                log.warning("Vercel's variable %s was changed meanwhile: reading it again", key)
            else:
                break
        if self.of(key, target, git_ref=git_ref, written=True) is None:
            raise VariableNotSet(key, self._project_id, target)

    def _write(self, key: str, value: SecretStr, target: Target, there: Variable | None) -> None:
        body: dict[str, JsonValue] = {
            "key": key,
            "value": value.get_secret_value(),
            "type": there.type if there is not None else "sensitive",
            "target": [target],
        }
        written = self._service.change("POST", self._at, _Written, body, {"upsert": "true"})
        if written is not None and written.failed:
            code = written.failed[0].error.code
            # Vercel's own words may repeat what it was sent.
            raise ServiceRefused(
                "Vercel",
                f"POST {self._at}",
                f"answered {_CREATED}, but lists {key} for {target} as not made ({code or 'without a code'})",
                status=_CREATED,
                code=code,
            )
