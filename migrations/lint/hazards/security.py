"""Who may see and do more than before, or suddenly nothing any more."""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.lint.hazard import Hazard, Subject
from migrations.sql.alterations import commands
from migrations.sql.bounds import read_tables
from migrations.sql.database_state import DatabaseState
from migrations.sql.effects import dropped
from migrations.sql.locking import option
from migrations.sql.names import Name, constant, strings
from migrations.sql.objects import created_object, object_of_owner_change
from migrations.sql.statements import Statement

_ROLE_POWERS = frozenset({"superuser", "bypassrls", "createrole", "createdb", "isreplication"})


def _granted(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See who gets more. Source: an empty list of privileges is ALL; PUBLIC is every role there is and will be."""
    node = statement.node
    if isinstance(node, nodes.AlterDefaultPrivilegesStmt):
        node = node.action or node
    if isinstance(node, nodes.GrantStmt) and node.is_grant:
        yield from _given(node)
    elif isinstance(node, nodes.AlterTableStmt | nodes.AlterOwnerStmt):
        yield from _owners(node, state)
    elif isinstance(node, nodes.GrantRoleStmt) and node.is_grant:
        names = [one.priv_name for one in node.granted_roles if isinstance(one, nodes.AccessPriv)]
        yield Subject(name=f"the role {', '.join(names)}", detail=", ".join(_role(one) for one in node.grantee_roles))
    elif isinstance(node, nodes.AlterRoleStmt | nodes.CreateRoleStmt):
        role = node.role if isinstance(node, nodes.CreateRoleStmt) else _role(node.role)
        for one in node.options:
            if isinstance(one, nodes.DefElem) and one.defname in _ROLE_POWERS and _is_on(one.arg):
                yield Subject(name=one.defname.upper(), detail=role)


def _given(node: nodes.GrantStmt) -> Iterator[Subject]:
    wide = _wide(node)
    who = ", ".join(_role(one) for one in node.grantees)
    tables = _tables(node)
    if not wide and node.targtype == pb.ACL_TARGET_OBJECT:
        tables = [one for one in tables if one is not None]
    for table in tables:
        place = str(table) if table else "what is made later" if node.targtype == pb.ACL_TARGET_DEFAULTS else "all"
        yield Subject(None if wide else table, name=wide or _privileges(node), detail=f"{who} on {place}")


def _owners(node: nodes.AlterTableStmt | nodes.AlterOwnerStmt, state: DatabaseState) -> Iterator[Subject]:
    """See an owner that changes. Source: an owner may do everything, and row-level security holds for it if FORCED."""
    if isinstance(node, nodes.AlterOwnerStmt):
        if object_of_owner_change(node) not in {created_object(one.node) for one in state.step_statements} - {None}:
            yield Subject(name="Ownership", detail=_role(node.newowner))
        return
    for one in node.cmds:
        if isinstance(one, nodes.AlterTableCmd) and one.subtype == pb.AT_ChangeOwner:
            table = Name.of_range(node.relation)
            yield Subject(table, name=f"Ownership of {table}", detail=_role(one.newowner))


def _tables(node: nodes.GrantStmt) -> list[Name | None]:
    is_named = node.targtype == pb.ACL_TARGET_OBJECT and node.objtype == pb.OBJECT_TABLE
    return [Name.of_range(one) for one in node.objects if isinstance(one, nodes.RangeVar)] if is_named else [None]


def _wide(node: nodes.GrantStmt) -> str:
    everybody = any(isinstance(one, nodes.RoleSpec) and one.roletype == pb.ROLESPEC_PUBLIC for one in node.grantees)
    if everybody:
        return f"{_privileges(node)} (PUBLIC: every role)"
    if node.grant_option:
        return f"{_privileges(node)} WITH GRANT OPTION"
    return "ALL privileges" if not node.privileges else ""


def _privileges(node: nodes.GrantStmt) -> str:
    names = [one.priv_name.upper() for one in node.privileges if isinstance(one, nodes.AccessPriv)]
    return ", ".join(names) or "ALL privileges"


def _role(node: AstNode | None) -> str:
    if not isinstance(node, nodes.RoleSpec):
        return "a role"
    return "PUBLIC" if node.roletype == pb.ROLESPEC_PUBLIC else node.rolename or "the current role"


def _is_on(argument: AstNode | None) -> bool:
    if isinstance(argument, nodes.Boolean):
        return argument.boolval
    return bool(constant(argument)) if argument is not None else True


def _dropped(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    node = statement.node
    for table, command in commands(node):
        if command.subtype == pb.AT_DisableRowSecurity:
            yield Subject(table, detail="Row-level security is switched off")
        elif command.subtype == pb.AT_NoForceRowSecurity:
            yield Subject(table, detail="Row-level security is no longer forced on the owner")
    if isinstance(node, nodes.DropStmt) and node.remove_type == pb.OBJECT_POLICY:
        for table in dropped(node):
            if not _policy_follows(table, statement, state):
                yield Subject(table, detail="A policy is dropped")
    if isinstance(node, nodes.AlterPolicyStmt | nodes.CreatePolicyStmt):
        permissive = isinstance(node, nodes.AlterPolicyStmt) or node.permissive
        if permissive and any(_is_always_true(one) for one in (node.qual, node.with_check)):
            yield Subject(Name.of_range(node.table), detail=f"The policy {node.policy_name} lets every row through")


def _is_always_true(condition: AstNode | None) -> bool:
    """Whether a condition holds whatever the row: `true`, or `1 = 1`."""
    if isinstance(condition, nodes.A_Expr) and strings(condition.name) == ("=",):
        left, right = constant(condition.lexpr), constant(condition.rexpr)
        return left is not None and left == right
    return constant(condition) is True


def _policy_follows(table: Name, statement: Statement, state: DatabaseState) -> bool:
    """Whether the same transaction puts another policy in its place."""
    return statement.transaction is not None and any(
        isinstance(one.node, nodes.CreatePolicyStmt)
        and Name.of_range(one.node.table) == table
        and one.transaction == statement.transaction
        for one in state.step_statements
    )


def _view(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See a view that reads past policies. Source: a view reads as its owner, unless it is a security_invoker."""
    node = statement.node
    if isinstance(node, nodes.ViewStmt) and node.query is not None and not option(node.options, "security_invoker"):
        for table in sorted(read_tables(node.query)):
            if state.table(table).row_security:
                yield Subject(table, name=str(Name.of_range(node.view)))


def _without_policy(statement: Statement, state: DatabaseState) -> Iterator[Subject]:
    """See rows that vanish. Source: with row-level security on and no policy, a default-deny policy is used."""
    for table, command in commands(statement.node):
        bare = not state.table(table).policies and not _policy_follows(table, statement, state)
        if command.subtype == pb.AT_EnableRowSecurity and bare:
            yield Subject(table)


def _definer(statement: Statement, _state: DatabaseState) -> Iterator[Subject]:
    """See a function that runs with its owner's rights and looks up names where its caller says."""
    node = statement.node
    if isinstance(node, nodes.CreateFunctionStmt | nodes.AlterFunctionStmt):
        given = node.options if isinstance(node, nodes.CreateFunctionStmt) else node.actions
        options = [one for one in given if isinstance(one, nodes.DefElem)]
        definer = any(one.defname == "security" and _is_on(one.arg) for one in options)
        fixed = any(
            one.defname == "set" and isinstance(one.arg, nodes.VariableSetStmt) and one.arg.name == "search_path"
            for one in options
        )
        if definer and not fixed:
            named = node.func.objname if isinstance(node, nodes.AlterFunctionStmt) and node.func else []
            parts = node.funcname if isinstance(node, nodes.CreateFunctionStmt) else named
            yield Subject(name=str(Name.of_parts(parts)))


GRANTED = Hazard(
    id="grant-widened",
    condition="A role gets more rights on what is in use, or rights are given to all, or with the right to pass them "
    "on.",
    effect="{name} is given to {detail}: whoever is, or becomes, that role may use it from this moment on, and nothing "
    "takes it back by itself.",
    safe="Grant what is needed, on the new table alone, to the one role that needs it; else waive it with who asked.",
    bad="GRANT ALL ON orders TO PUBLIC;\n",
    good="CREATE TABLE notes (id bigint PRIMARY KEY);\nGRANT SELECT, INSERT ON notes TO app;\n",
    concern="live",
    rule=_granted,
)

DROPPED = Hazard(
    id="row-security-dropped",
    condition="Row-level security is switched off or loosened on a table that is in use.",
    effect="{detail} on `{table}`: rows that a session could not see or change are open to it from this moment on.",
    safe="Put the new policy in place in the same transaction that drops the old one; name what it lets through.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders DISABLE ROW LEVEL SECURITY;\n",
    good="SET lock_timeout = '2s';\nALTER TABLE orders FORCE ROW LEVEL SECURITY;\n",
    concern="live",
    rule=_dropped,
    squawk=("ban-alter-row-level-security", "ban-drop-policy"),
)

WITHOUT_POLICY = Hazard(
    id="row-security-without-policy",
    condition="Row-level security is switched on for a table that is in use, and it has no policy.",
    effect="Whoever is neither owner nor BYPASSRLS sees no row of `{table}` from this moment on, and cannot write any.",
    safe="Create the policies in the same transaction.",
    bad="SET lock_timeout = '2s';\nALTER TABLE orders ENABLE ROW LEVEL SECURITY;\n",
    good="""CREATE TABLE notes (id bigint PRIMARY KEY, owner uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY notes_own ON notes USING (owner = current_setting('app.user_id', true)::uuid);
""",
    concern="live",
    rule=_without_policy,
    squawk=("ban-alter-row-level-security",),
)

DEFINER = Hazard(
    id="security-definer-search-path",
    condition="A SECURITY DEFINER function does not fix its search_path.",
    effect="`{name}` runs with its owner's rights, and finds its tables and functions where its caller's search_path "
    "says: "
    "whoever may call it can make it run something else.",
    safe="Add SET search_path = pg_catalog, and name the schema of what it uses.",
    bad="CREATE FUNCTION tidy() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';\n",
    good="CREATE FUNCTION tidy() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1';\n",
    concern="any",
    rule=_definer,
)

VIEW = Hazard(
    id="view-past-row-security",
    condition="A view reads a table with row-level security, and is no security_invoker.",
    effect="`{name}` reads `{table}` with its owner's rights: whoever may read the view sees rows that the policies "
    "keep "
    "from them.",
    safe="CREATE VIEW ... WITH (security_invoker = true).",
    bad="""CREATE TABLE notes (id bigint PRIMARY KEY, owner uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY notes_own ON notes USING (owner = current_setting('app.user_id', true)::uuid);
CREATE VIEW recent_notes AS SELECT * FROM notes;
""",
    good="""CREATE TABLE notes (id bigint PRIMARY KEY, owner uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY notes_own ON notes USING (owner = current_setting('app.user_id', true)::uuid);
CREATE VIEW recent_notes WITH (security_invoker = true) AS SELECT * FROM notes;
""",
    concern="any",
    rule=_view,
)
