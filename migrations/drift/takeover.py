"""Changes by hand that pending revisions make in just the same way, so that they take them over."""

import re
from collections.abc import Sequence

from migrations.catalog.contents import Difference

# The parts of a name with dots between, some of them quoted.
_PART = re.compile(r'"(?:[^"]|"")*"|[^".]+')


def changes_taken_over(found: Sequence[Difference], promised: Sequence[Difference]) -> tuple[Difference, ...]:
    """The changes by hand that pending revisions make in exactly the same way.

    A revision that takes over finds what it makes already there (IF NOT EXISTS, IF EXISTS, OR REPLACE) and leaves it.
    So all that the same statement would have made must be there: a table with every column and constraint, a column
    with every constraint of its own.

    Args:
        found: how the live catalogue differs from what was released.
        promised: how the pending revisions change what was released.
    """
    same = {(one.kind, one.name): one for one in found}
    missing = [one for one in promised if one.change == "added" and (one.kind, one.name) not in same]
    wanted = {(one.kind, one.name): one.after for one in promised}
    return tuple(
        one
        for one in found
        if (one.kind, one.name) in wanted
        and wanted[one.kind, one.name] == one.after
        and not any(_of_the_same_statement(one, other) for other in missing)
    )


def _of_the_same_statement(made: Difference, missing: Difference) -> bool:
    """Whether a missing object may belong to the statement that creates an object which is there already."""
    if made.change != "added":
        return False
    if made.kind == "table":
        return missing.kind in {"column", "constraint"} and missing.name.startswith(f"{made.name}.")
    if made.kind == "column":
        *table, column = _PART.findall(made.name)
        of_table = missing.kind == "constraint" and _PART.findall(missing.name)[:-1] == table
        return of_table and column in (missing.after or "")
    return False
