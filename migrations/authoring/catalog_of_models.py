"""The catalogue that the models describe: tables, and the functions, triggers and policies that belong to them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, event, pool
from sqlalchemy.exc import SQLAlchemyError

from migrations.authoring.errors import ModelsUnbuildable
from migrations.catalog.contents import Catalog, read_catalog
from migrations.database.session import connect, reader
from migrations.history.applied_revisions import PRODUCT_SCHEMA
from migrations.models import Base
from migrations.recording.throwaway import throwaway_database


def build_catalog_of_models(dsn: str, metadata: MetaData = Base.metadata) -> Catalog:
    """The catalogue that the models build on an empty database.

    Args:
        dsn: direct connection string of the server to build it on; its own database is not touched.
        metadata: the models' tables; what else belongs to them is made by their `after_create` events.

    Raises:
        ModelsUnbuildable: PostgreSQL refuses what the models say.
        MigrationError: the server refused a throwaway database.

    Locks: none outside of the throwaway database.
    """
    return build_models(dsn, metadata)[0]


def build_models(dsn: str, metadata: MetaData) -> tuple[Catalog, tuple[str, ...]]:
    """The catalogue that the models build on an empty database, and the statements that built it, in order.

    Args:
        dsn: direct connection string of the server to build it on; its own database is not touched.
        metadata: the models' tables.

    Raises:
        MigrationError: as `build_catalog_of_models` does.

    Locks: none outside of the throwaway database.
    """
    statements: list[str] = []

    def keep(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        del conn, cursor, rest
        statements.append(statement)

    with throwaway_database(dsn) as empty:
        try:
            with _connected(empty) as connection, connection.begin():
                event.listen(connection, "before_cursor_execute", keep)
                metadata.create_all(connection)
        except SQLAlchemyError as error:
            raise ModelsUnbuildable(str(error)) from error
        with reader(empty) as connection:
            return read_catalog(connection), tuple(one.replace("%%", "%") for one in statements)


def alembic_differences(dsn: str, metadata: MetaData = Base.metadata) -> tuple[str, ...]:
    """What Alembic's own comparison finds between a database and the models, one a line.

    Args:
        dsn: direct connection string of the owner.
        metadata: the models' tables.

    Locks: AccessShareLock on the system catalogues.
    """

    def ours(name: str | None, kind: str, parents: Any) -> bool:
        del parents
        return not (kind == "schema" and name == PRODUCT_SCHEMA)

    with _connected(dsn) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_name": ours}
        )
        found = compare_metadata(context, metadata)
    return tuple(" ".join(str(one).split()) for one in found)


@contextmanager
def _connected(dsn: str) -> Generator[Connection]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(dsn), poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
