"""Comments and grants, on whatever they are."""

from collections.abc import Iterable, Sequence

from migrations.authoring.drafting.names import last, literal, parent, parts
from migrations.authoring.drafting.schema_changes import Comparison, Rank, SchemaChange, schema_change
from migrations.catalog.contents import Catalog, Difference


def comment_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Comments; one on an object that comes or goes needs no statement the one way."""
    for found in compared.of_kind("comment"):
        target = _comment_target(found.name, compared.after if found.after is not None else compared.before)
        to, back = (
            f"COMMENT ON {target} IS {literal(text) if text is not None else 'NULL'}"
            for text in (found.after, found.before)
        )
        goes = _is_only_in(compared.before, compared.after, found)
        comes = _is_only_in(compared.after, compared.before, found)
        rank = Rank.DROP_VIEW if goes else Rank.COMMENT
        yield schema_change(
            rank,
            () if goes else to,
            () if comes else back,
            phase="contract" if goes else "expand",
            subject=f"comment {found.name}",
        )


def grant_changes(compared: Comparison) -> Iterable[SchemaChange]:
    """Grants; what an owner and everybody have by themselves needs no statement."""
    for found in compared.of_kind("grant"):
        target, grantee = found.name.rsplit(" to ", 1)
        comes = not _is_granted_on(compared.before, target)
        goes = not _is_granted_on(compared.after, target)
        if (comes or goes) and (grantee == compared.owner or (target.startswith("function ") and grantee == "public")):
            continue
        before, after = _privileges(found.before), _privileges(found.after)
        given = _statements("GRANT", target, grantee, after - before, compared.after)
        dropped = _statements("REVOKE", target, grantee, before - after, compared.before)
        given_back = _statements("GRANT", target, grantee, before - after, compared.before)
        taken_back = _statements("REVOKE", target, grantee, after - before, compared.after)
        yield schema_change(
            Rank.DROP_VIEW if goes else Rank.GRANT,
            () if goes else (*dropped, *given),
            () if comes else (*taken_back, *given_back),
            phase="contract" if dropped or goes else "expand",
            subject=f"grant {found.name}",
        )
    yield from _not_for_everybody(compared)


def _not_for_everybody(compared: Comparison) -> Iterable[SchemaChange]:
    """A new function that not everybody may execute, which PostgreSQL would allow by itself."""
    for found in compared.of_kind("function"):
        catalog = compared.after if found.change == "added" else compared.before
        if found.change == "changed" or _has(catalog, ("grant",), f"function {found.name} to public"):
            continue
        revoke = f"REVOKE ALL ON FUNCTION {found.name} FROM PUBLIC"
        comes = found.change == "added"
        yield schema_change(
            Rank.GRANT if comes else Rank.DROP_VIEW,
            revoke if comes else (),
            () if comes else revoke,
            phase="expand" if comes else "contract",
            subject=f"grant function {found.name} to public",
        )


def _privileges(definition: str | None) -> frozenset[str]:
    return frozenset(definition.split(", ")) if definition else frozenset()


def _statements(verb: str, target: str, grantee: str, privileges: frozenset[str], catalog: Catalog) -> tuple[str, ...]:
    on = _grant_target(target, catalog)
    column = f" ({last(target)})" if _has(catalog, ("column",), target) else ""
    word, to = ("TO", "PUBLIC" if grantee == "public" else grantee) if verb == "GRANT" else ("FROM", grantee)
    statements: list[str] = []
    for suffix in ("", " with grant option"):
        chosen = sorted(
            one.removesuffix(suffix) for one in privileges if one.endswith(" with grant option") == bool(suffix)
        )
        if chosen:
            listed = ", ".join(f"{one}{column}" for one in chosen)
            option = " WITH GRANT OPTION" if suffix and verb == "GRANT" else ""
            statements.append(f"{verb} {listed} ON {on} {word} {to}{option}")
    return tuple(statements)


def _grant_target(target: str, catalog: Catalog) -> str:
    if target.startswith("function "):
        return f"FUNCTION {target.removeprefix('function ')}"
    if _has(catalog, ("sequence",), target):
        return f"SEQUENCE {target}"
    return f"TABLE {parent(target) if _has(catalog, ('column',), target) else target}"


def _is_granted_on(catalog: Catalog, target: str) -> bool:
    if target.startswith("function "):
        return _has(catalog, ("function",), target.removeprefix("function "))
    return _has(catalog, ("table", "view", "sequence", "column"), target)


def _comment_target(name: str, catalog: Catalog) -> str:
    for word in ("constraint", "trigger", "policy", "function", "type", "domain"):
        if name.startswith(f"{word} ") and not _has(catalog, ("table", "view"), name):
            return f"{word.upper()} {name.removeprefix(f'{word} ')}"
    if _has(catalog, ("column",), name):
        return f"COLUMN {name}"
    for kind in ("table", "view", "sequence", "index"):
        if _has(catalog, (kind,), name):
            materialized = kind == "view" and catalog.by_name[kind, name].definition.startswith("materialized")
            return f"{'MATERIALIZED ' if materialized else ''}{kind.upper()} {name}"
    # A column of a view, or the index of a constraint.
    return f"COLUMN {name}" if len(parts(name)) > 1 and _has(catalog, ("view",), parent(name)) else f"INDEX {name}"


def _is_only_in(one: Catalog, other: Catalog, comment: Difference) -> bool:
    """Whether what is commented stands in the one catalogue alone, so that the comment goes with it."""
    return any(
        _has(one, (kind,), subject) and not _has(other, (kind,), subject) for kind, subject in _subjects(comment.name)
    )


def _subjects(name: str) -> Iterable[tuple[str, str]]:
    """The objects, by kind and name, that a comment of this name may be on, or go with."""
    word, _, rest = name.partition(" ")
    if word in {"constraint", "trigger", "policy"}:
        own, _, table = rest.partition(" on ")
        yield "table", table
        yield word, f"{table}.{own}"
    elif word in {"function", "domain"}:
        yield word, rest
    elif word == "type":
        yield "enum", rest
    else:
        yield "table", parent(name) or name
        for kind in ("table", "column", "view", "index", "sequence"):
            yield kind, name


def _has(catalog: Catalog, kinds: Sequence[str], name: str) -> bool:
    return any((kind, name) in catalog.by_name for kind in kinds)
