"""Settings: the same names on a laptop and in production, read from the environment; placeholders are refused."""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deployments.connection_uri import is_ambiguous
from deployments.errors import SettingsError
from deployments.redaction.redactor import learn, learn_address

_PLACEHOLDER: Final = re.compile(
    r"<[^>]*>|change[-_ ]?me|^your[-_ ]|^x{3,}$|^\.\.\.$|ep-xxx|placeholder|^(todo|none|null)$",
    re.IGNORECASE,
)

# A header takes no more, and an address neither.
_SENT: Final = re.compile(r"[!-~]*")

_MALFORMED: Final = (
    "write it as postgresql://<user>:<password>@host/database, with / @ : # ? % and blanks of the password "
    "percent-encoded"
)

Given = Annotated[str, Field(min_length=1)]
Loaded = TypeVar("Loaded", bound="NeonSettings")


class NeonSettings(BaseSettings):
    """What a command needs that works on Neon's branches alone."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    neon_api_url: AnyHttpUrl
    neon_api_key: SecretStr
    neon_project_id: Given
    neon_production_branch: Given = "main"
    neon_staging_branch: Given = "staging"
    neon_database: Given
    neon_owner_role: Given
    neon_app_role: Given
    ledger_url: SecretStr = SecretStr("sqlite:///.pilotage/ledger.db")

    @field_validator("*", mode="before")
    @classmethod
    def _is_filled_in(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and is_placeholder(text):
            raise PydanticCustomError("placeholder", "still holds a placeholder")
        if isinstance(text, str) and (text != text.strip() or not text.isprintable()):
            raise PydanticCustomError(
                "blanks",
                "begins or ends with a blank or a newline, or holds a control character: a file that it was read from"
                " may end with a newline",
            )
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _is_sent_as_it_is(cls, value: object) -> object:
        if isinstance(value, SecretStr) and _SENT.fullmatch(value.get_secret_value()) is None:
            raise PydanticCustomError("blanks", "holds a blank, or a character that is not ASCII: percent-encode it")
        if isinstance(value, SecretStr) and _is_malformed(value.get_secret_value()):
            raise PydanticCustomError("malformed", _MALFORMED)
        return value


class Settings(NeonSettings):
    """Everything that a run needs to know, from the environment or a file of variables."""

    app_database_url: SecretStr | None = None
    app_staging_database_url: SecretStr | None = None

    vercel_api_url: AnyHttpUrl
    vercel_token: SecretStr
    vercel_team_id: Given
    vercel_project_id: Given
    vercel_config_id: Given
    vercel_automation_bypass_secret: SecretStr

    release_repository: Given
    production_url: AnyHttpUrl
    slack_webhook_url: SecretStr

    target_name: str = Field(default="", validation_alias="PILOTAGE_TARGET")
    release_revisions_path: Given = Field(
        default="migrations/versions", validation_alias="PILOTAGE_RELEASE_REVISIONS_PATH"
    )
    cache_folder: Path = Field(default=Path(".pilotage/cache"), validation_alias="PILOTAGE_CACHE_FOLDER")
    lease_s: float = Field(default=60, ge=5, le=3600, validation_alias="PILOTAGE_LEASE_S")
    stop_s: float = Field(default=20, ge=0, le=20, validation_alias="PILOTAGE_STOP_S")
    snapshot_hours: float = Field(default=168, gt=0, le=719, validation_alias="PILOTAGE_SNAPSHOT_HOURS")
    snapshots_kept: int = Field(default=3, ge=1, validation_alias="PILOTAGE_SNAPSHOTS_KEPT")
    neon_branch_limit: int = Field(default=10, ge=3, validation_alias="PILOTAGE_NEON_BRANCH_LIMIT")
    neon_root_branch_limit: int = Field(default=3, ge=2, validation_alias="PILOTAGE_NEON_ROOT_BRANCH_LIMIT")
    lock_timeout_ms: int = Field(default=100, ge=1, le=60_000, validation_alias="PILOTAGE_LOCK_TIMEOUT_MS")
    migration_budget_s: float = Field(default=60, gt=0, le=3600, validation_alias="PILOTAGE_MIGRATION_BUDGET_S")
    migration_policy: Literal["wait", "end"] = Field(default="wait", validation_alias="PILOTAGE_MIGRATION_POLICY")
    end_idle_after_s: float = Field(default=60, ge=0, le=86_400, validation_alias="PILOTAGE_END_IDLE_AFTER_S")
    statement_timeout_s: float = Field(default=5, ge=0, le=3600, validation_alias="PILOTAGE_STATEMENT_TIMEOUT_S")
    blocking_budget_ms: float = Field(default=500, gt=0, le=60_000, validation_alias="PILOTAGE_BLOCKING_BUDGET_MS")
    row_loss_limit: float = Field(default=0.01, ge=0, le=1, validation_alias="PILOTAGE_ROW_LOSS_LIMIT")
    p95_limit_ms: float = Field(default=100, gt=0, le=60_000, validation_alias="PILOTAGE_P95_LIMIT_MS")
    error_rate_limit: float = Field(default=0.001, ge=0, le=1, validation_alias="PILOTAGE_ERROR_RATE_LIMIT")
    minimum_users: int = Field(default=10, ge=0, validation_alias="PILOTAGE_MINIMUM_USERS")
    minimum_requests: int = Field(default=100, ge=1, validation_alias="PILOTAGE_MINIMUM_REQUESTS")
    watch_rate: float = Field(default=10, gt=0, le=100, validation_alias="PILOTAGE_WATCH_RATE")

    @property
    def target(self) -> str:
        """The target's name in the ledger: the one given, or that of its two projects."""
        return self.target_name or f"{self.neon_project_id}/{self.vercel_project_id}"


def is_placeholder(text: str) -> bool:
    """Whether a text stands for a value that somebody has yet to fill in."""
    return _PLACEHOLDER.search(text.strip()) is not None


def variable(name: str) -> str:
    """The environment variable of a field."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else name.upper()


def load_settings() -> Settings:
    """Read the settings from the environment, then from the file that PILOTAGE_ENV_FILE names, or `.env`.

    Raises:
        SettingsError: names every variable that is missing, malformed or still a placeholder; never a value.
    """
    return _load(Settings)


def load_neon_settings() -> NeonSettings:
    """Read what works on Neon's branches alone, as `load_settings` reads all of it.

    Raises:
        SettingsError: names every variable that is missing, malformed or still a placeholder; never a value.
    """
    return _load(NeonSettings)


def _load(kind: type[Loaded]) -> Loaded:
    file = os.environ.get("PILOTAGE_ENV_FILE")
    if file and not Path(file).is_file():
        raise SettingsError([f"PILOTAGE_ENV_FILE names {file}, which is no file"])
    try:
        loaded = kind(_env_file=file or ".env")  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        raise SettingsError([_problem(one["loc"], one["type"], one["msg"]) for one in error.errors()]) from None
    learn(*(value for _, value in loaded if isinstance(value, SecretStr) and not _is_address(value)))
    learn_address(*(value for _, value in loaded if isinstance(value, (SecretStr, str))))
    return loaded


def _is_malformed(text: str) -> bool:
    return text.startswith("postgres") and is_ambiguous(text)


def _is_address(value: SecretStr) -> bool:
    """Whether a part of it is the secret, and not all: a ledger's file is none at all."""
    return re.match(r"(?:sqlite|postgres\w*)[:+]", value.get_secret_value()) is not None


def _problem(where: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(where[0])
    shown = variable(name) if name in Settings.model_fields else name.upper()
    if kind in {"missing", "placeholder"}:
        return f"{shown} {'is missing' if kind == 'missing' else message}"
    return f"{shown}: {message[0].lower()}{message[1:]}"
