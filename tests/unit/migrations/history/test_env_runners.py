"""Connection strings as SQLAlchemy's engines read them."""

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import make_url

from migrations.history.env_runners import sqlalchemy_url, url_text


@pytest.mark.parametrize(
    ("dsn", "configured", "url"),
    [
        (
            "postgresql://o:p%40ss@h:5433/d?sslmode=require",
            None,
            "postgresql+psycopg://o:p%40ss@h:5433/d?sslmode=require",
        ),
        ("host=h dbname=d user=o", "postgresql+psycopg2://x/y", "postgresql+psycopg2://o@h/d"),
        ("postgresql://o@h/d", "driver://user:pass@localhost/dbname", "postgresql+psycopg://o@h/d"),
        ("host=/run/pg port=5433 dbname=d user=o", None, "postgresql+psycopg://o@/d?host=%2Frun%2Fpg&port=5433"),
        ("host=a,b port=1,2 dbname=d", None, "postgresql+psycopg:///d?host=a%2Cb&port=1%2C2"),
        (
            "postgresql://o@h/d?sslmode=require&channel_binding=require",
            "postgresql+asyncpg://x/y",
            "postgresql+asyncpg://o@h/d?ssl=require",
        ),
    ],
)
def test_a_connection_string_keeps_the_projects_driver(dsn: str, configured: str | None, url: str) -> None:
    assert sqlalchemy_url(dsn, configured).render_as_string(hide_password=False) == url


@pytest.mark.parametrize("options", ["-c search_path=app", "-c a=1 -c b=c+d", "-c x=a%20b&c?d"])
@pytest.mark.parametrize("password", ["plain", "a+b c/d@e?f"])
def test_options_reach_libpq_as_they_were_meant(options: str, password: str) -> None:
    given = {"host": "h", "dbname": "d", "user": "o+p", "password": password, "options": options}
    url = url_text(sqlalchemy_url(make_conninfo("", **given), None))
    assert conninfo_to_dict(url.replace("+psycopg", "")) == given
    assert make_url(url).query["options"] == options
