"""The studio's pages."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import psycopg
from sqladmin import Admin, BaseView, expose
from sqlalchemy import create_engine, event, pool
from sqlalchemy.orm import DeclarativeBase, sessionmaker
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from flows.cli.studio import query
from flows.cli.studio.loopback import Loopback
from flows.cli.studio.views import nulls_stay_nulls, view_of
from migrations.database.session import connect
from migrations.errors import MigrationError
from migrations.models import Base

TEMPLATES = Path(__file__).parent / "templates"
_TIMEOUT_MS = 30_000


def studio_app(dsn: str, base: type[DeclarativeBase] = Base, *, token: str | None = None) -> Starlette:
    """The studio over a database.

    Args:
        dsn: direct connection string of the owner, who sees the rows of all users.
        base: the declarative base of the models.
        token: what a browser must have brought once in the address; None where anybody on this machine may come.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(dsn, application_name="pilotage studio", statement_timeout=_TIMEOUT_MS),
        poolclass=pool.QueuePool,
        pool_pre_ping=True,
    )
    sessions = sessionmaker(bind=engine)
    event.listen(sessions, "before_flush", nulls_stay_nulls)

    @asynccontextmanager
    async def closing_connections(_: Starlette) -> AsyncGenerator[None]:
        yield
        engine.dispose()

    middleware = [Middleware(Loopback, token=token)]
    app = Starlette(routes=[Route("/", _to_the_pages)], middleware=middleware, lifespan=closing_connections)
    admin = Admin(app, session_maker=sessions, title="Pilotage studio", templates_dir=str(TEMPLATES))
    for mapper in sorted(base.registry.mappers, key=lambda one: (one.class_.__module__, one.class_.__name__)):
        admin.add_view(view_of(mapper))
    admin.add_view(_query_view(dsn))
    return app


async def _to_the_pages(_: Request) -> Response:
    return RedirectResponse("/admin/query")


def _query_view(dsn: str) -> type[BaseView]:
    class QueryView(BaseView):
        name = "Query"
        icon = "fa-solid fa-terminal"

        @expose("/query", methods=["GET", "POST"], identity="query")
        async def ask(self, request: Request) -> Response:
            """Show the form and, once it was sent, what the query gave."""
            context: dict[str, Any] = {"title": "Query", "subtitle": "Read-only", "query": "", "limit": query.ROW_LIMIT}
            if request.method == "POST":
                asked = str((await request.form()).get("query", "")).strip()
                context["query"] = asked
                try:
                    context["answer"] = await anyio.to_thread.run_sync(query.run, dsn, asked)
                except psycopg.Error as error:
                    context["error"] = query.refused(error)
                except MigrationError as error:
                    context["error"] = str(error)
            code = 400 if "error" in context else 200
            template = self.templates.TemplateResponse  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return await template(request, "studio/query.html", context, status_code=code)

    return QueryView
