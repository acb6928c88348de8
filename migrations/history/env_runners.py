"""Runs env.py: this project's own, or the env.py of another project.

Ours uses the connection that it is given. A foreign one is left as it is, and makes its own engine: it is given the
address in every way that such files read it, and its sessions get our settings before their first transaction.
"""

from __future__ import annotations

import logging.config
import os
import sys
import threading
from collections.abc import Generator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import psycopg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, pool

from migrations.database.connection_attempts import explaining_failed_connections
from migrations.database.direct_connections import refuse_pooler
from migrations.database.locks import MIGRATING
from migrations.database.session import connect
from migrations.database.session_settings import FOREIGN, REVISIONS, settling
from migrations.database.time_limits import execute_raw
from migrations.history.program_exits import refusing_program_exit

# A server whose client was killed ends the statement within a second, instead of finishing it.
_CHECK_CLIENT_MS = 1000
_ASYNCPG = {"sslmode": "ssl", "host": "host", "port": "port"}


@dataclass(frozen=True)
class ForeignEnvironment:
    """The env.py of another project.

    Attributes:
        config: its alembic.ini or pyproject.toml; None where only a script location was given.
        script_location: the folder with env.py; None where the configuration names it.
        folder: the folder that its relative paths start from.
        url_variable: environment variable that it may read the database's address from.
    """

    config: Path | None
    script_location: Path | None
    folder: Path
    url_variable: str = "DATABASE_URL"

    def alembic_config(self) -> Config:
        """Alembic's configuration, as the project has it."""
        found = Config()
        if self.config is not None:
            # As the `alembic` command does, which reads the two together.
            is_toml = self.config.suffix == ".toml"
            ini = self.config.with_name("alembic.ini") if is_toml else self.config
            toml = self.config if is_toml else self.config.with_name("pyproject.toml")
            found = Config(str(ini) if ini.is_file() else None, toml_file=str(toml) if toml.is_file() else None)
        if self.script_location is not None:
            found.set_main_option("script_location", str(self.script_location).replace("%", "%%"))
        if found.get_alembic_option("path_separator") is None:
            found.set_main_option("path_separator", "os")
        return found


class Runner(Protocol):
    """Prepares env.py for a run, and knows the connections that revisions run on."""

    engines: Any

    def owns_connection(self, connection: Connection) -> bool:
        """Whether revisions run on this connection."""
        ...

    def owns_driver_connection(self, session: Any) -> bool:
        """Whether revisions may run on this connection of the driver."""
        ...

    def environment_prepared(self, config: Config) -> Any:
        """A context in which env.py can connect to the database."""
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...


class OwnRunner:
    """Runs our env.py on a session that it is given; a revision that opens a second one gets another."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.engines = create_engine("postgresql+psycopg://", creator=self._connected, poolclass=pool.NullPool)

    def _connected(self) -> psycopg.Connection:
        return connect(
            self._dsn,
            application_name=MIGRATING,
            kind=REVISIONS,
            client_connection_check_interval=_CHECK_CLIENT_MS,
        )

    def owns_connection(self, connection: Connection) -> bool:
        """Always: the engine is nobody else's."""
        del connection
        return True

    def owns_driver_connection(self, session: Any) -> bool:
        """Always: the engine is nobody else's."""
        del session
        return True

    @contextmanager
    def environment_prepared(self, config: Config) -> Generator[None]:
        """Give the session to env.py."""
        with self.engines.connect() as connection:
            config.attributes["connection"] = connection
            yield

    def close(self) -> None:
        """Nothing is open: each session ends with its run, and an open transaction is rolled back."""
        self.engines.dispose()


@dataclass
class ForeignRunner:
    """Runs a foreign env.py, which is given the address in every way that it may read it.

    Events of all engines of this thread are followed meanwhile, since env.py makes its own engine.
    """

    dsn: str
    environment: ForeignEnvironment
    lock_timeout_ms: int
    engines: type[Engine] = Engine
    _thread: int = field(default_factory=threading.get_ident)
    _database: str | None = field(init=False)

    def __post_init__(self) -> None:
        self._database = sqlalchemy_url(self.dsn, None).database

    def owns_connection(self, connection: Connection) -> bool:
        """Whether this thread opened it, to this database: other threads may use engines of their own meanwhile."""
        url = connection.engine.url
        is_here = url.get_backend_name() == "postgresql" and url.database in {None, self._database}
        return is_here and threading.get_ident() == self._thread

    def owns_driver_connection(self, session: Any) -> bool:
        """Whether it is a connection of psycopg, opened by this thread, to this database."""
        is_here = isinstance(session, psycopg.Connection) and session.info.dbname == self._database
        return is_here and threading.get_ident() == self._thread

    @contextmanager
    def environment_prepared(self, config: Config) -> Generator[None]:
        """Set the address; libpq's other environment variables stay as the user set them."""
        url = url_text(sqlalchemy_url(self.dsn, config.get_main_option("sqlalchemy.url")))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        name = self.environment.url_variable
        before = os.environ.get(name)
        os.environ[name] = url
        try:
            # What it prints would stand in the middle of what a command prints for a machine.
            with (
                chdir(self.environment.folder),
                _logging_setup_disabled(),
                redirect_stdout(sys.stderr),
                explaining_failed_connections(self.dsn),
                self._tracking_engines(),
            ):
                yield
        finally:
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

    def _apply_session_settings(self, connection: Connection) -> None:
        """Apply our settings to a session before its first transaction, whatever driver env.py uses."""
        if connection.dialect.name != "postgresql" or connection.info.get(MIGRATING):
            return
        refuse_pooler(self._actual_dsn(connection.engine.url))
        session: Any = connection.connection.dbapi_connection
        own_settings = {"application_name": MIGRATING, "client_connection_check_interval": _CHECK_CLIENT_MS}
        execute_raw(session, settling({**FOREIGN, "lock_timeout": self.lock_timeout_ms, **own_settings}))
        session.commit()
        connection.info[MIGRATING] = True

    def _actual_dsn(self, url: URL) -> str:
        """The connection string that env.py actually uses: the same database, perhaps by another host or user."""
        own = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
        return make_conninfo(self.dsn, **{name: value for name, value in own.items() if value is not None})

    @contextmanager
    def _tracking_engines(self) -> Generator[None]:
        """Apply our settings to what env.py opens, and close what it leaves idle, as of a dead migration."""
        used: set[Engine] = set()

        def note(connection: Connection) -> None:
            if self.owns_connection(connection):
                used.add(connection.engine)
                self._apply_session_settings(connection)

        event.listen(self.engines, "engine_connect", note)
        try:
            yield
        finally:
            event.remove(self.engines, "engine_connect", note)
            for engine in used:
                # An asynchronous one can be closed only by its loop, which has ended.
                if not engine.dialect.is_async:
                    engine.dispose()

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def _logging_setup_disabled() -> Generator[None]:
    """Keep env.py from configuring logging: most do, and disable every existing logger."""
    given = logging.config.fileConfig, logging.config.dictConfig

    def do_nothing(*args: Any, **options: Any) -> None:
        del args, options

    logging.config.fileConfig = logging.config.dictConfig = do_nothing
    try:
        yield
    finally:
        logging.config.fileConfig, logging.config.dictConfig = given


def run_env(script: ScriptDirectory) -> None:
    """Run the project's env.py.

    Raises:
        Exception: whatever it raised.
    """
    with refusing_program_exit():
        script.run_env()


def transaction_per_revision(
    config: Config,
    script: ScriptDirectory,
    fn: Any,
    *,
    output_buffer: TextIO | None = None,
    as_sql: bool = False,
    starting_rev: tuple[str, ...] | None = None,
) -> EnvironmentContext:
    """An environment in which each revision runs in a transaction of its own, whatever env.py configures.

    Args:
        config: Alembic's configuration.
        script: the history as Alembic has it.
        fn: gives the steps to run.
        output_buffer: where offline SQL is written, even if env.py would write it elsewhere.
        as_sql: whether SQL is written instead of sent.
        starting_rev: the revisions that SQL is written from.

    Source: without `transaction_per_migration` Alembic runs all revisions in one transaction, whose locks add up.
    """
    environment = EnvironmentContext(config, script, fn=fn, as_sql=as_sql, starting_rev=starting_rev)
    configure = environment.configure
    forced = {"transaction_per_migration": True, **({} if output_buffer is None else {"output_buffer": output_buffer})}

    def configured(*args: Any, **given: Any) -> None:
        configure(*args, **{**given, **forced})

    # Alembic's module of functions is bound to this very class: a subclass would not be called.
    environment.configure = configured
    return environment


def url_text(url: URL) -> str:
    """An address as a text that libpq reads in the same sense as SQLAlchemy.

    Source: SQLAlchemy leaves a blank in a password, which libpq refuses, and writes one in `options` as a plus sign,
    which to libpq is one.
    """
    place, mark, query = url.render_as_string(hide_password=False).partition("?")
    return f"{place.replace(' ', '%20')}{mark}{query.replace('+', '%20')}"


def sqlalchemy_url(dsn: str, configured: str | None) -> URL:
    """A connection string as SQLAlchemy's URL, with the driver that the project has configured.

    Args:
        dsn: connection string, as an address or as keywords.
        configured: the project's own `sqlalchemy.url`; its driver is kept.
    """
    try:
        driver = make_url(configured).drivername if configured else ""
    except Exception:  # The project's own address may hold a placeholder that is no address at all.
        driver = ""
    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    name, password, database = given.pop("user", None), given.pop("password", None), given.pop("dbname", None)
    host, port = None, None
    if not given.get("host", "").startswith("/") and given.get("port", "5432").isdecimal():
        # A socket's folder, or several hosts, have no place in front of the path.
        host, port = given.pop("host", None), given.pop("port", None)
    if driver == "postgresql+asyncpg":
        # Source: asyncpg is no libpq: it calls the mode of TLS `ssl`, and refuses names that it does not know.
        given = {_ASYNCPG[key]: value for key, value in given.items() if key in _ASYNCPG}
    return URL.create(
        driver if driver.startswith("postgresql+") else "postgresql+psycopg",
        username=name,
        password=password,
        host=host,
        port=int(port) if port else None,
        database=database,
        query=given,
    )
