"""Domains and partitions: what is read through when they change."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import commands
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _domain(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a domain that every column of it is held against.

    Source: ALTER DOMAIN ADD CONSTRAINT and SET NOT NULL take ShareLock on each table with a column of it, and read it.
    """
    node = statement.node
    if not isinstance(node, nodes.AlterDomainStmt):
        return
    name = Name.of_parts(node.type_name)
    given = node.def_
    adds = node.subtype == "C" and isinstance(given, nodes.Constraint) and not given.skip_validation
    if (adds or node.subtype in {"O", "V"}) and name not in state.domains:
        if node.subtype == "V":
            return
        yield Subject(name=str(name))


def _attached(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a partition that is read through.

    Source: ATTACH PARTITION reads the table, under AccessExclusiveLock on it, unless a valid CHECK implies its bounds.
    """
    for table, command in commands(statement.node):
        if command.subtype == pb.AT_AttachPartition and isinstance(command.def_, nodes.PartitionCmd):
            partition = Name.of_range(command.def_.name)
            checks = (one for one in state.table(partition).constraints if one.kind == "check" and one.validated)
            if not any(checks):
                yield Subject(partition, name=str(table))


def _detached(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a partition taken out. Source: without CONCURRENTLY it takes AccessExclusiveLock on the parent."""
    for table, command in commands(statement.node):
        given = command.def_
        if command.subtype == pb.AT_DetachPartition and isinstance(given, nodes.PartitionCmd) and not given.concurrent:
            yield Subject(table, name=str(Name.of_range(given.name)))


DOMAIN = Hazard(
    id="domain-constraint-scans",
    condition="A domain gets a constraint without NOT VALID, or is made NOT NULL.",
    effect="Every table with a column of the domain `{name}` is read through while nobody can write to it.",
    safe="ADD CONSTRAINT ... NOT VALID, and ALTER DOMAIN ... VALIDATE CONSTRAINT in a later revision.",
    bad="ALTER DOMAIN email ADD CONSTRAINT email_check CHECK (VALUE LIKE '%@%');\n",
    good="ALTER DOMAIN email ADD CONSTRAINT email_check CHECK (VALUE LIKE '%@%') NOT VALID;\n",
    concern="any",
    rule=_domain,
    squawk=("ban-alter-domain-with-add-constraint",),
)

ATTACHED = Hazard(
    id="partition-attached-scans",
    condition="A table that is in use is attached as a partition, and no validated CHECK proves its bounds.",
    effect="Attaching `{table}` to `{name}` reads every row of it under an AccessExclusiveLock.",
    safe="Add a CHECK that says the same as the bounds NOT VALID, VALIDATE it, then attach, and drop the CHECK.",
    bad="""SET lock_timeout = '2s';
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM (2025) TO (2026);
""",
    good="""-- 1.sql
SET lock_timeout = '2s';
ALTER TABLE events_2025 ADD CONSTRAINT events_2025_bounds
    CHECK (year IS NOT NULL AND year >= 2025 AND year < 2026) NOT VALID;
-- 2.sql
SET lock_timeout = '2s';
ALTER TABLE events_2025 VALIDATE CONSTRAINT events_2025_bounds;
-- 3.sql
SET lock_timeout = '2s';
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM (2025) TO (2026);
""",
    rule=_attached,
)

DETACHED = Hazard(
    id="partition-detached",
    condition="DETACH PARTITION without CONCURRENTLY.",
    effect="Detaching `{name}` takes an AccessExclusiveLock on `{table}` and all who read any of its partitions wait.",
    safe="Use DETACH PARTITION ... CONCURRENTLY, alone in a revision of its own and outside a transaction.",
    bad="SET lock_timeout = '2s';\nALTER TABLE events DETACH PARTITION events_2019;\n",
    good="ALTER TABLE events DETACH PARTITION events_2019 CONCURRENTLY;\n",
    concern="live",
    rule=_detached,
    squawk=("require-concurrent-partition-detach",),
)
