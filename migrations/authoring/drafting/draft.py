"""What the models have and the revisions lack, drafted as revisions and proven before anything is written."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import MetaData

from migrations.apply.migrate import downgrade, upgrade
from migrations.authoring.catalog_of_models import build_models
from migrations.authoring.consistency.naming import ACTIONS, STAMP, is_stamp
from migrations.authoring.drafting.files import revision_text
from migrations.authoring.drafting.names import parent
from migrations.authoring.drafting.revision_contents import RevisionContent, contents_of
from migrations.authoring.drafting.schema_changes import Comparison, columns_of
from migrations.authoring.drafting.source_text import Key, sources
from migrations.authoring.errors import DraftUnproven
from migrations.catalog.contents import Catalog, difference, read_catalog
from migrations.database.session import reader
from migrations.errors import RevisionFailed
from migrations.history.revisions import History
from migrations.recording.recorded_statements import record_statements
from migrations.recording.throwaway import throwaway_database

RELEASE = "draft"
LONGEST_SLUG = 80
_WRITTEN = {"table", "constraint", "index", "policy", "view", "enum"}


@dataclass(frozen=True)
class DraftedRevision:
    """A revision to be written.

    Attributes:
        id: its name in the history.
        file: the name of its file.
        text: the file.
        content: what it does.
    """

    id: str
    file: str
    text: str
    content: RevisionContent


@dataclass(frozen=True)
class Draft:
    """Revisions that bring the history to what the models say.

    Attributes:
        revisions: in order; empty where nothing is missing.
        notes: what the developer should look at.
    """

    revisions: tuple[DraftedRevision, ...]
    notes: tuple[str, ...] = ()


def draft_revisions(
    dsn: str, history: History, metadata: MetaData, *, message: str, action: str | None = None
) -> Draft:
    """Draft what the models have and the revisions lack, and prove it on a throwaway database.

    Args:
        dsn: direct connection string of a server where throwaway databases may be made.
        history: the revisions.
        metadata: the models.
        message: what the change is for; its first word may be the action.
        action: one of the convention's actions; by default the message's, else what fits the change.

    Raises:
        SeveralHeads: the history has to be merged first.
        DraftUnproven: the draft does not give what the models say, or does not return.
        MigrationError: the revisions or the models cannot be built.

    Locks: none outside of the throwaway databases.
    """
    head = history.resolve("head") if history.revisions else "base"
    with throwaway_database(dsn) as database:
        if head != "base":
            upgrade(database, history, target=head, release_id=RELEASE, record=False)
        before, owner = _look(database)
        after, statements = build_models(dsn, metadata)
        order = {table.name: [column.name for column in table.columns] for table in metadata.tables.values()}
        compared = Comparison(before, after, order, owner, written_after=sources(statements))
        if any(one.before is not None and one.kind in _WRITTEN for one in compared.differences):
            compared = replace(compared, written_before=_written(dsn, history))
        contents = contents_of(compared)
        if not contents:
            left = [str(one) for one in compared.differences]
            if left:
                raise DraftUnproven("are empty, though something differs", left)
            return Draft(())
        drafted = _named(contents, history, message, action)
        _prove(database, history, drafted, before, after, head)
    return Draft(drafted, tuple(_renames(compared)))


def empty_revision(history: History, *, message: str, action: str | None = None) -> Draft:
    """A revision that does nothing yet.

    Raises:
        SeveralHeads: the history has to be merged first.
    """
    if history.revisions:
        history.resolve("head")
    return Draft(_named((RevisionContent("expand", (), ()),), history, message, action))


def write(draft: Draft, folder: Path) -> tuple[Path, ...]:
    """Write the files of a draft.

    Raises:
        FileExistsError: one of them is there already.
    """
    written: list[Path] = []
    for one in draft.revisions:
        path = folder / one.file
        with path.open("x", encoding="utf-8") as file:
            file.write(one.text)
        written.append(path)
    return tuple(written)


def next_ids(history: History, count: int) -> tuple[str, ...]:
    """Ids for new revisions: this minute and those after it, later than all that is there."""
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    for one in history.revisions:
        if is_stamp(one.id):
            start = max(start, datetime.strptime(one.id, STAMP).replace(tzinfo=UTC) + timedelta(minutes=1))
    return tuple((start + timedelta(minutes=place)).strftime(STAMP) for place in range(count))


def slug(message: str, action: str) -> str:
    """The second half of a file's name."""
    words = re.findall(r"[a-z0-9]+", message.lower())
    if words and words[0] == action:
        words = words[1:]
    return "_".join([action, *(words or ["schema"])])[:LONGEST_SLUG].rstrip("_")


def _named(
    contents: Sequence[RevisionContent], history: History, message: str, action: str | None
) -> tuple[DraftedRevision, ...]:
    first = (re.findall(r"[a-z0-9]+", message.lower()) or [""])[0]
    below = history.heads
    drafted: list[DraftedRevision] = []
    for revision, content in zip(next_ids(history, len(contents)), contents, strict=True):
        chosen = action or (first if first in ACTIONS else _fitting(content))
        label = content.label if len(contents) > 1 else ""
        said = f"{message.strip().rstrip('.')} ({label.replace('_', ' ')})" if label else message
        name = slug(message, chosen) + (f"_{'_'.join(re.findall('[a-z0-9]+', label))}" if label else "")
        text = revision_text(content, revision=revision, below=below, message=said)
        drafted.append(DraftedRevision(revision, f"{revision}_{name}.py", text, content))
        below = (revision,)
    return tuple(drafted)


def _fitting(content: RevisionContent) -> str:
    if any(statement.startswith("CREATE TABLE") for statement in content.up):
        return "create"
    if content.concurrently:
        return "optimize"
    return "add" if content.phase == "expand" else "remove"


def _prove(
    database: str, history: History, drafted: Sequence[DraftedRevision], before: Catalog, after: Catalog, head: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="pilotage-draft-") as folder:
        write(Draft(tuple(drafted)), Path(folder))
        longer = History.load(*history.folders, Path(folder))
        try:
            upgrade(database, longer, release_id=RELEASE, record=False)
            _must_equal("do not give what the models say", after, _look(database)[0])
            downgrade(database, longer, head, release_id=RELEASE)
            _must_equal("do not return to what stood before", before, _look(database)[0])
            upgrade(database, longer, release_id=RELEASE, record=False)
            _must_equal("give something else the second time", after, _look(database)[0])
        except RevisionFailed as error:
            raise DraftUnproven("cannot be applied", [str(error)]) from error


def _must_equal(why: str, wanted: Catalog, found: Catalog) -> None:
    left = [str(one) for one in difference(wanted, found)]
    if left:
        raise DraftUnproven(why, left)


def _written(dsn: str, history: History) -> dict[Key, str]:
    """The words that made what the revisions build: a way back is drafted of them."""
    recording = record_statements(dsn, history, current=(), target="heads")
    return sources(one.sql for revision in history.revisions for one in recording.up.get(revision.id, ()))


def _look(database: str) -> tuple[Catalog, str]:
    """The catalogue, and who reads it."""
    with reader(database) as connection:
        row = connection.execute("SELECT quote_ident(current_user)").fetchone()
        return read_catalog(connection), str(row[0]) if row else ""


def _renames(compared: Comparison) -> Sequence[str]:
    """What goes while something like it comes: it may have been meant as a new name for the same thing."""
    found = [one for kind in ("table", "column") for one in compared.of_kind(kind)]
    return [
        f"{old.kind} {old.name} goes and {new.name} comes, and they look alike: rows are not carried over. If it is a "
        "new name for the same thing, add the new one, copy, let the application change over, drop the old one later"
        for old in found
        for new in found
        if (old.kind, old.change, new.kind, new.change) == (new.kind, "removed", old.kind, "added")
        and _shape(compared.before, old.kind, old.name) == _shape(compared.after, new.kind, new.name)
    ]


def _shape(catalog: Catalog, kind: str, name: str) -> object:
    """What stays the same when a table or a column is given another name."""
    if kind == "table":
        return columns_of(catalog, name)
    return parent(name), catalog.by_name[kind, name].definition
