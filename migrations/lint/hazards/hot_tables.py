"""What every write to a busy table pays for from now on."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import commands
from migrations.sql.database_state import DatabaseState
from migrations.sql.names import Name
from migrations.sql.statements import Statement


def _trigger(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    if isinstance(node, nodes.CreateTrigStmt) and node.row and node.when_clause is None:
        table = Name.of_range(node.relation)
        if state.is_hot(table):
            yield Subject(table, name=node.trigname)
    elif isinstance(node, nodes.RuleStmt) and node.event != pb.CMD_SELECT:
        table = Name.of_range(node.relation)
        if state.is_hot(table):
            yield Subject(table, name=node.rulename)


def _policy(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    tables = [table for table, command in commands(node) if command.subtype == pb.AT_EnableRowSecurity]
    if isinstance(node, nodes.CreatePolicyStmt | nodes.AlterPolicyStmt):
        tables.append(Name.of_range(node.table))
    for table in tables:
        if state.is_hot(table):
            name = node.policy_name if isinstance(node, nodes.CreatePolicyStmt | nodes.AlterPolicyStmt) else ""
            yield Subject(table, name=name or "row-level security")


TRIGGER = Hazard(
    id="trigger-on-hot-table",
    condition="A trigger for each row, without a WHEN, or a rule, on a table that the application writes to often.",
    effect="`{name}` runs in every write to `{table}` from this moment on: each takes longer, and fails when it fails.",
    safe="Let WHEN or UPDATE OF a column with WHEN keep it from rows that it is not about, measure it in the "
    "rehearsal, or "
    "waive this with what was measured.",
    bad="""SET lock_timeout = '2s';
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
""",
    good="""SET lock_timeout = '2s';
CREATE TRIGGER orders_paid AFTER UPDATE OF status ON orders
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION tell();
""",
    concern="live",
    rule=_trigger,
)

POLICY = Hazard(
    id="policy-on-hot-table",
    condition="A policy on a table that the application uses often, or row-level security switched on for it.",
    effect="Every statement on `{table}` is planned and filtered with {name} from this moment on: what is slow in the "
    "condition is slow in each, and a session that lacks what it asks for sees no rows.",
    safe="Index what the condition compares, call functions in a subquery so that they run once, look at the plans in "
    "the "
    "rehearsal, and waive this with what was seen.",
    bad="""SET lock_timeout = '2s';
CREATE POLICY orders_own ON orders USING (owner = current_setting('app.user_id', true)::uuid);
""",
    good="""CREATE TABLE notes (id bigint PRIMARY KEY, owner uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY notes_own ON notes USING (owner = current_setting('app.user_id', true)::uuid);
""",
    concern="live",
    rule=_policy,
    squawk=("ban-create-policy", "ban-alter-policy-condition", "ban-alter-row-level-security"),
)
