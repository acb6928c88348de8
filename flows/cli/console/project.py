"""Whose revisions a command works on: ours, or those of any Alembic project."""

from pathlib import Path
from typing import Annotated

import typer

from migrations.authoring.consistency.parents import check_parents
from migrations.errors import HistoryUnreadable
from migrations.history.foreign_project import foreign_environment
from migrations.history.revisions import History

Config = Annotated[
    Path | None, typer.Option("--config", help="alembic.ini or pyproject.toml of another project; ours by default.")
]
ScriptLocation = Annotated[
    Path | None, typer.Option("--script-location", help="Folder with the env.py of another project.")
]
UrlVariable = Annotated[
    str, typer.Option(help="Environment variable that the other project's env.py reads its database from.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="The database itself; goes before --environment.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def revision_folders(config: Path | None, script_location: Path | None) -> tuple[Path, ...]:
    """Where the files of a project's revisions lie, even where Alembic cannot make a history of them.

    Raises:
        HistoryUnreadable: there is no such configuration or folder.
    """
    environment = foreign_environment(config, script_location)
    return History.revision_folders(environment)


def load_history(config: Path | None, script_location: Path | None, url_variable: str = "DATABASE_URL") -> History:
    """The history that a command was pointed at.

    Raises:
        HistoryUnreadable: it cannot be read; a revision whose parent no file has is named.
    """
    folders = revision_folders(config, script_location)
    if missing := check_parents(folders).findings:
        raise HistoryUnreadable(folders, "; ".join(f"{one.subject}: {one.detail}: {one.advice}" for one in missing))
    environment = foreign_environment(config, script_location, url_variable=url_variable)
    return History.load() if environment is None else History.of_project(environment)
