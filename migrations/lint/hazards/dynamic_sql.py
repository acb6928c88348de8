"""SQL that is put together at run time."""

from collections.abc import Iterator

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.database_state import DatabaseState
from migrations.sql.statements import Statement


def _rule(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    if statement.dynamic:
        yield Subject(name=" ".join(statement.dynamic.split())[:120])


HAZARD = Hazard(
    id="dynamic-sql",
    condition="A DO block or a function that is called runs SQL whose text cannot be known beforehand.",
    effect="What EXECUTE of `{name}` does cannot be told: any of the hazards may be in it.",
    safe="Write the statements out. Text that is put together from literals and variables with known values is read.",
    bad="""DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT relname FROM pg_class WHERE relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN note text', one.relname);
    END LOOP;
END $$;
""",
    good="""SET lock_timeout = '2s';
DO $$ BEGIN
    EXECUTE format('ALTER TABLE %I ADD COLUMN note text', 'orders');
END $$;
""",
    concern="any",
    rule=_rule,
)
