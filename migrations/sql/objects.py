"""Functions, triggers, sequences, types and schemas: which there are, as far as statements tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes.base import AstNode

from migrations.sql.names import Name, strings

_KINDS = {
    int(pb.OBJECT_FUNCTION): "function",
    int(pb.OBJECT_PROCEDURE): "function",
    int(pb.OBJECT_ROUTINE): "function",
    int(pb.OBJECT_SEQUENCE): "sequence",
    int(pb.OBJECT_TYPE): "type",
    int(pb.OBJECT_DOMAIN): "type",
    int(pb.OBJECT_SCHEMA): "schema",
}


_NO_TABLE = Name("")


@dataclass(frozen=True, order=True)
class Object:
    """Something of a database beside its tables.

    Attributes:
        kind: function (procedures too), trigger, sequence, type or schema.
        name: its name; overloaded functions are one.
        table: a trigger's table; empty for the others.
    """

    kind: str
    name: Name
    table: Name = _NO_TABLE

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{f' on {self.table}' if self.table.name else ''}"


def apply_to_objects(objects: set[Object], node: AstNode) -> None:
    """Change a set of objects as a statement does."""
    new = created_object(node)
    if new is not None:
        objects.add(new)
    match node:
        case nodes.DropStmt():
            gone = set(_dropped(node))
            tables = {one.table for one in gone if not one.name.name}
            objects -= {one for one in objects if one in gone or (one.table.name and one.table in tables)}
            if node.behavior == pb.DROP_CASCADE:
                objects -= set(_below(objects, gone))
        case nodes.RenameStmt():
            _rename(objects, node)
        case nodes.AlterSeqStmt():
            # A sequence that a column owns comes and goes with its table.
            if any(isinstance(one, nodes.DefElem) and one.defname == "owned_by" for one in node.options):
                objects.discard(Object("sequence", Name.of_range(node.sequence)))
        case _:
            return


def created_object(node: AstNode) -> Object | None:
    """What a statement creates, beside tables."""
    match node:
        case nodes.CreateFunctionStmt():
            return Object("function", Name.of_parts(node.funcname))
        case nodes.CreateTrigStmt():
            return Object("trigger", Name(node.trigname), Name.of_range(node.relation))
        case nodes.CreateSeqStmt():
            return Object("sequence", Name.of_range(node.sequence))
        case nodes.CreateEnumStmt() | nodes.CreateRangeStmt():
            return Object("type", Name.of_parts(node.type_name))
        case nodes.CompositeTypeStmt():
            return Object("type", Name.of_range(node.typevar))
        case nodes.CreateDomainStmt():
            return Object("type", Name.of_parts(node.domainname))
        case nodes.CreateSchemaStmt() if not node.if_not_exists:
            return Object("schema", Name(node.schemaname))
        case _:
            return None


def object_of_owner_change(node: nodes.AlterOwnerStmt) -> Object | None:
    """What gets another owner; None where it is nothing that is known here."""
    given = node.object
    if node.object_type not in _KINDS:
        return None
    if isinstance(given, nodes.String):
        return Object(_KINDS[node.object_type], Name(given.sval))
    parts = given.items if isinstance(given, nodes.List) else []
    parts = given.objname if isinstance(given, nodes.ObjectWithArgs) else parts
    return Object(_KINDS[node.object_type], Name.of_parts(parts))


def _dropped(node: nodes.DropStmt) -> Iterator[Object]:
    """What a DROP names; a table stands for the triggers on it."""
    for one in node.objects:
        parts = one.items if isinstance(one, nodes.List) else [one]
        if isinstance(one, nodes.TypeName):
            parts = one.names
        elif isinstance(one, nodes.ObjectWithArgs):
            parts = one.objname
        if node.remove_type == pb.OBJECT_TRIGGER:
            yield Object("trigger", Name(strings(parts)[-1]), Name.of_parts(parts[:-1]))
        elif node.remove_type == pb.OBJECT_TABLE:
            yield Object("trigger", Name(""), Name.of_parts(parts))
        elif node.remove_type in _KINDS:
            yield Object(_KINDS[node.remove_type], Name.of_parts(parts))


def _below(objects: set[Object], gone: set[Object]) -> Iterator[Object]:
    """What CASCADE may take along: triggers with a function, everything with its schema."""
    schemas = {one.name.name for one in gone if one.kind == "schema"}
    functions = any(one.kind == "function" for one in gone)
    for one in objects:
        if (functions and one.kind == "trigger") or one.name.schema in schemas or one.table.schema in schemas:
            yield one


def _rename(objects: set[Object], node: nodes.RenameStmt) -> None:
    relation = Name.of_range(node.relation)
    if node.rename_type == pb.OBJECT_TABLE:
        new = Name(node.newname, relation.schema)
        for one in [one for one in objects if one.kind == "trigger" and one.table == relation]:
            objects.remove(one)
            objects.add(Object(one.kind, one.name, new))
        return
    if node.rename_type == pb.OBJECT_TRIGGER:
        old, renamed = Object("trigger", Name(node.subname), relation), Object("trigger", Name(node.newname), relation)
    elif node.rename_type in _KINDS:
        given = node.object
        parts = given.items if isinstance(given, nodes.List) else []
        parts = given.objname if isinstance(given, nodes.ObjectWithArgs) else parts
        name = Name.of_parts(parts) if parts else relation
        kind = _KINDS[node.rename_type]
        old, renamed = Object(kind, name), Object(kind, Name(node.newname, name.schema))
    else:
        return
    if old in objects:
        objects.remove(old)
        objects.add(renamed)
