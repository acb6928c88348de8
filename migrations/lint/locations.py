"""Where a history lies: ours, or another Alembic project's."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from migrations.errors import HistoryUnreadable
from migrations.history.revisions import History


def alembic_config(file: Path | None = None, script_location: Path | None = None) -> Config | None:
    """Alembic's configuration of another project.

    Args:
        file: its alembic.ini, or its pyproject.toml.
        script_location: its folder of revisions' folder; it goes before what the file says.

    Returns:
        None where neither is given: our own history is meant.

    Raises:
        HistoryUnreadable: there is no such file or folder.
    """
    absent = [one for one in (file, script_location) if one is not None and not one.exists()]
    if absent:
        raise HistoryUnreadable(absent, "there is none")
    if file is None and script_location is None:
        return None
    if file is not None and file.suffix == ".toml":
        config = Config(toml_file=str(file))
    else:
        config = Config(str(file) if file is not None else None)
    if script_location is not None:
        config.set_main_option("script_location", str(script_location.resolve()).replace("%", "%%"))
    if config.get_alembic_option("path_separator") is None:
        config.set_main_option("path_separator", "os")
    return config


def load(config: Config | None) -> History:
    """The history of a configuration; our own without.

    Raises:
        HistoryUnreadable: Alembic cannot read it.
    """
    if config is None:
        return History.load()
    try:
        script = ScriptDirectory.from_config(config)
    except CommandError as error:
        raise HistoryUnreadable([Path(config.config_file_name or "alembic.ini")], str(error)) from error
    places = [Path(one) for one in script.version_locations or ()] or [Path(script.dir, "versions")]
    return History.load(*(one.resolve() for one in places))
