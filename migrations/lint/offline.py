"""What revisions would send, written by Alembic without a database, one run for a whole history."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from migrations.database.locks import one_migration
from migrations.history.env_runners import run_env
from migrations.history.program_exits import refusing_program_exit
from migrations.history.project_failures import failure_of
from migrations.history.revisions import Revision
from migrations.sql.source_statement import SourceStatement

_TELLING = 10
_DOUBLES_PERCENT = frozenset({"format", "pyformat"})


@dataclass(frozen=True)
class OfflineStatements:
    """What revisions would send.

    Attributes:
        statements: statements by revision.
        unknown: why a revision's statements cannot be told, by revision.
    """

    statements: Mapping[str, tuple[SourceStatement, ...]]
    unknown: Mapping[str, str] = field(default_factory=dict[str, str])


def offline_statements(
    config: Config, revisions: Sequence[Revision], *, downgrades: bool = False, script: ScriptDirectory | None = None
) -> OfflineStatements:
    """Run revisions without a database, and keep what they would send.

    The history's own env.py sets the run up, since it may bring operations of its own; where it cannot run here, plain
    Alembic does.

    Args:
        config: Alembic's configuration.
        revisions: the whole history, oldest first.
        downgrades: whether their downgrades are written, instead of their upgrades.
        script: the history as Alembic has it; it is read afresh without.
    """
    with one_migration():
        script = script or ScriptDirectory.from_config(config)
        run = _Run(config, script, revisions, downgrades=downgrades)
        try:
            run.run_with(_by_env)
        except Exception as error:  # env.py is code of the release: it may raise anything.
            if run.begun:
                return run.written(failure_of(error))
            # An env.py may have turned the history to folders of its own.
            run = _Run(config, ScriptDirectory.from_config(config), revisions, downgrades=downgrades)
            run.run_with(_plainly)
    return run.written("it was not reached")


def _by_env(script: ScriptDirectory, _environment: EnvironmentContext) -> None:
    run_env(script)


def _plainly(_script: ScriptDirectory, environment: EnvironmentContext) -> None:
    environment.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with environment.begin_transaction():
        environment.run_migrations()


def _raise_no_downgrade() -> None:
    raise NotImplementedError("it has no downgrade")


@dataclass
class _SentText:
    """A text that a revision wrote.

    Attributes:
        text: the text.
        line: the line of its file that did.
        boundary: whether Alembic drew a transaction with it.
        existing: the type that the revision says the column has which it alters; empty where it does not say.
    """

    text: str
    line: int
    boundary: bool
    existing: str = ""


def _written(type_: object) -> str:
    """A type as PostgreSQL writes it; empty where it is none."""
    try:
        made = cast("object", type_() if isinstance(type_, type) else type_)
        return made.compile(dialect=postgresql.dialect()) if isinstance(made, TypeEngine) else ""
    except Exception:  # A type of the user's own: it may raise anything.
        return ""


class _Buffer(io.StringIO):
    """Keeps each text with the line of the revision that wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ""
        self.sent: list[_SentText] = []

    def write(self, text: str, /) -> int:
        if self.path and text.strip():
            self.sent.append(_SentText(text, *self._place()))
        return len(text)

    def _place(self) -> tuple[int, bool, str]:
        """The line of the revision that sends it, whether Alembic draws a transaction there, and the existing type."""
        boundary, existing = False, ""
        frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        while frame is not None and frame.f_code.co_filename != self.path:
            boundary = boundary or frame.f_code.co_name == "autocommit_block"
            if frame.f_code.co_name == "alter_column":
                existing = existing or _written(frame.f_locals.get("existing_type"))
            frame = frame.f_back
        return (1 if frame is None else frame.f_lineno), boundary, existing


class _Run:
    """One run of a history."""

    def __init__(
        self, config: Config, script: ScriptDirectory, revisions: Sequence[Revision], *, downgrades: bool
    ) -> None:
        self._config = config
        self._script = script
        self._downgrades = downgrades
        self._revisions = {one.id: one for one in revisions}
        self._buffer = _Buffer()
        self._sent: dict[str, list[_SentText]] = {}
        self._unknown: dict[str, str] = {}
        self._doubled = False

    @property
    def begun(self) -> bool:
        """Whether a revision has run."""
        return bool(self._sent)

    def run_with(self, runner: Callable[[ScriptDirectory, EnvironmentContext], None]) -> None:
        """Run all revisions, and keep what each writes."""
        script = self._script
        self._config.output_buffer = self._buffer

        def steps(at: Any, context: Any) -> Iterator[RevisionStep]:
            if context.dialect.name != "postgresql":
                # An env.py that knows several databases takes another one where nobody tells it.
                raise ValueError(f"its env.py takes {context.dialect.name}")
            self._doubled = context.dialect.paramstyle in _DOUBLES_PERCENT
            for step in self._steps(script, at):
                step.migration_fn = self._guarded(step)
                yield step

        ends = {"starting_rev": script.get_heads(), "destination_rev": "base"} if self._downgrades else {}
        with EnvironmentContext(self._config, script, fn=steps, as_sql=True, **ends) as environment:
            runner(script, environment)

    def _steps(self, script: ScriptDirectory, at: Any) -> Sequence[RevisionStep]:
        # Source: Alembic's documentation of EnvironmentContext shows these two as the way to make a `fn`.
        if self._downgrades:
            for one in script.walk_revisions():
                # Alembic makes all steps at once, and would stop at the first that has none.
                vars(one.module).setdefault("downgrade", _raise_no_downgrade)
            return script._downgrade_revs("base", script.get_heads())  # noqa: SLF001  # pyright: ignore
        return script._upgrade_revs("heads", at)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _guarded(self, step: RevisionStep) -> Callable[..., None]:
        revision, upgrade = str(step.revision.revision), step.migration_fn

        def run(**given: Any) -> None:
            self._buffer.sent = self._sent[revision] = []
            self._buffer.path = upgrade.__code__.co_filename
            try:
                # What a revision prints is not what this program says.
                with contextlib.redirect_stdout(sys.stderr), refusing_program_exit():
                    upgrade(**given)
            except Exception as error:  # A revision is code of the release: it may raise anything.
                self._unknown[revision] = " ".join(failure_of(error).split())
            finally:
                self._buffer.path = ""

        return run

    def written(self, missing: str) -> OfflineStatements:
        """What came of it; revisions that did not run are unknown for that reason."""
        unknown = {one: missing for one in self._revisions if one not in self._sent} | self._unknown
        statements = {
            one: tuple(self._statements(self._revisions[one], sent))
            for one, sent in self._sent.items()
            if one not in unknown and one in self._revisions
        }
        return OfflineStatements(statements, unknown)

    def _statements(self, revision: Revision, sent: Sequence[_SentText]) -> Iterator[SourceStatement]:
        transaction: int | None = 0
        source = revision.path.read_text(encoding="utf-8", errors="replace")
        for number, one in enumerate(sent):
            text = one.text.replace("%%", "%") if self._doubled else one.text
            begins = _boundary(text)
            if begins is not None:
                transaction = number + 1 if begins else None
            if one.boundary and begins is not None:
                continue
            yield SourceStatement(
                text.rstrip(),
                revision.id,
                shown(revision.path),
                line_of(text, source, one.line),
                transaction,
                revision.phase,
                one.existing,
            )


def _boundary(text: str) -> bool | None:
    """Whether a text begins a transaction, ends one, or does neither."""
    return {"BEGIN": True, "COMMIT": False}.get(text.strip().rstrip(";").upper())


def line_of(sql: str, source: str, otherwise: int) -> int:
    """The line of a file at which a statement stands, where it stands there once as it is sent."""
    first = next((line.strip() for line in sql.splitlines() if line.strip()), "")
    at = source.find(first) if len(first) > _TELLING else -1
    return source.count("\n", 0, at) + 1 if at >= 0 and source.find(first, at + 1) < 0 else otherwise


def shown(path: Path) -> str:
    """A file's path, short where it is below the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
