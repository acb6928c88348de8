"""Names and definitions as the catalogue writes them: taken apart, and shortened."""

import re
from typing import Final

IDENTIFIER: Final = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_PART: Final = re.compile(IDENTIFIER)
_COLUMN: Final = re.compile(
    r"""(?P<type>.+?)
        (?:\ COLLATE\ (?P<collation>"(?:[^"]|"")+"|\S+))?
        (?P<not_null>\ NOT\ NULL)?
        (?P<not_valid>\ NOT\ VALID)?
        (?:\ GENERATED\ (?P<identity>ALWAYS|BY\ DEFAULT)\ AS\ IDENTITY)?
        (?:\ (?P<generated>GENERATED\ ALWAYS\ AS\ \(.*\)\ (?:STORED|VIRTUAL)))?
        (?:\ DEFAULT\ (?P<default>.*))?""",
    re.VERBOSE | re.DOTALL,
)
# Quoted text is left alone, whatever quotes it; then comes what may be cut.
_QUOTED_OR_PUBLIC: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$\w*\$).*?(?P=tag)|(?<![\w.$"])(?P<cut>public\.)""", re.DOTALL
)


def parts(name: str) -> tuple[str, ...]:
    """The parts of a dotted name, each as it was quoted."""
    return tuple(_PART.findall(name))


def parent(name: str) -> str:
    """The name of the table that a column, constraint, trigger or policy belongs to."""
    return ".".join(parts(name)[:-1])


def last(name: str) -> str:
    """The last part of a dotted name."""
    return parts(name)[-1]


def plain(name: str) -> str:
    """An identifier without its quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def unqualified(definition: str) -> str:
    """A definition without `public.`, as one writes it by hand; quoted text stays as it is."""
    return _QUOTED_OR_PUBLIC.sub(lambda found: "" if found["cut"] else found[0], definition)


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def table_of_index(definition: str) -> str:
    """The table that an index is on."""
    found = re.search(rf" ON (?:ONLY )?({IDENTIFIER}(?:\.{IDENTIFIER})?)(?: USING |\s*\()", definition)
    return unqualified(found[1]) if found else ""


def table_of_reference(definition: str) -> str:
    """The table that a foreign key points to; empty for another constraint."""
    found = re.search(rf" REFERENCES ({IDENTIFIER}(?:\.{IDENTIFIER})?)", definition)
    return unqualified(found[1]) if found and definition.startswith("FOREIGN KEY") else ""


class ColumnDefinition:
    """A column's definition, taken apart."""

    def __init__(self, definition: str) -> None:
        found = _COLUMN.fullmatch(definition)
        if found is None:  # pragma: no cover - the expression matches every text that is not empty.
            raise ValueError(definition)
        self.type = unqualified(found["type"]) + (f" COLLATE {found['collation']}" if found["collation"] else "")
        self.not_null = found["not_null"] is not None
        self.identity: str | None = found["identity"]
        self.generated = unqualified(found["generated"]) if found["generated"] else None
        self.default = unqualified(found["default"]) if found["default"] else None

    @property
    def sql(self) -> str:
        """The definition as CREATE TABLE and ADD COLUMN take it."""
        words = [self.type]
        if self.not_null:
            words.append("NOT NULL")
        if self.identity:
            words.append(f"GENERATED {self.identity} AS IDENTITY")
        if self.generated:
            words.append(self.generated)
        if self.default:
            words.append(f"DEFAULT {self.default}")
        return " ".join(words)
