"""The history as an object that one asks questions of."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from migrations.errors import HistoryUnreadable, SeveralHeads, UnknownRevision
from migrations.history.revisions import VERSIONS, History

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def revision(name: str, *down: str, needs: Sequence[str] = (), head: str = "") -> None:
        below: object = None if not down else down[0] if len(down) == 1 else down
        (tmp_path / f"{name}.py").write_text(
            f'"""Say {name}."""\n{head}\nrevision = {name!r}\ndown_revision = {below!r}\n'
            f"depends_on = {tuple(needs) or None!r}\n\ndef upgrade(): pass\n"
        )

    return revision


def test_revisions_stand_in_order_with_what_their_files_say(tmp_path: Path, write: Write) -> None:
    write("b", "a", head='phase = "contract"')
    write("a", head='phase = "expand"')
    write("c", "b")
    history = History.load(tmp_path)
    assert [(one.id, one.down_revisions, one.phase) for one in history.revisions] == [
        ("a", (), "expand"),
        ("b", ("a",), "contract"),
        ("c", ("b",), None),
    ]
    assert history.revisions[0].message == "Say a."
    assert (history.heads, history.resolve("head"), "b" in history, "x" in history) == (("c",), "c", True, False)


def test_own_revisions_follow_the_house(tmp_path: Path) -> None:
    for one in History.load().revisions:
        assert one.path.parent == VERSIONS
        assert one.path.name.startswith(f"{one.id}_")
        assert one.phase in {"expand", "contract"}
        imports = {line.split()[1].split(".")[0] for line in one.path.read_text().splitlines() if _imports(line)}
        assert imports <= {"alembic", "sqlalchemy", "datetime", "uuid"}


def _imports(line: str) -> bool:
    return line.startswith(("import ", "from "))


def test_path_leads_from_what_stands_to_the_target(tmp_path: Path, write: Write) -> None:
    for name, down in (("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ("c",))):
        write(name, *down)
    history = History.load(tmp_path)
    assert [one.id for one in history.path_to("c", ("a",))] == ["b", "c"]
    assert [one.id for one in history.path_to("b", ("d",))] == []
    assert [one.id for one in history.path_to(("b", "d"))] == ["a", "b", "c", "d"]
    assert history.with_ancestors(("c", "somebody else's")) == ("a", "b", "c")


def test_branches_and_dependencies_are_followed(tmp_path: Path, write: Write) -> None:
    write("a")
    write("left", "a")
    write("right", "a")
    write("apart", needs=("left",))
    history = History.load(tmp_path)
    assert set(history.heads) == {"right", "apart"}
    assert set(history.with_ancestors(("apart",))) == {"a", "left", "apart"}
    with pytest.raises(SeveralHeads) as caught:
        history.resolve("head")
    assert set(caught.value.heads) == {"right", "apart"}
    assert {one.id for one in history.path_to("heads")} == {"a", "left", "right", "apart"}
    write("whole", "right", "apart")
    assert History.load(tmp_path).heads == ("whole",)


def test_a_target_may_be_shortened_and_an_unknown_one_is_answered_with_the_nearest(
    tmp_path: Path, write: Write
) -> None:
    write("20250101_0900")
    write("20250102_0900", "20250101_0900")
    history = History.load(tmp_path)
    assert history.resolve("20250102") == "20250102_0900"
    with pytest.raises(UnknownRevision) as ambiguous:
        history.resolve("2025")
    assert ambiguous.value.near == ("20250101_0900", "20250102_0900")
    with pytest.raises(UnknownRevision) as unknown:
        history.resolve("20250102_0901")
    assert unknown.value.near[0] == "20250102_0900"
    assert str(unknown.value).startswith("revision 20250102_0901 is not in the history; it has, nearest first: 2025010")


def test_a_folder_that_is_no_history_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(HistoryUnreadable, match="there is no such folder"):
        History.load(tmp_path / "nowhere")
    empty = History.load(tmp_path)
    assert (empty.revisions, empty.heads) == ((), ())
    with pytest.raises(UnknownRevision, match="it has no revisions at all"):
        empty.resolve("head")
    write("a", "gone")
    with pytest.raises(HistoryUnreadable, match="gone"):
        History.load(tmp_path)
    (tmp_path / "a.py").write_text("this is no Python")
    with pytest.raises(HistoryUnreadable, match="SyntaxError"):
        History.load(tmp_path)


def test_a_script_location_stands_for_its_versions(tmp_path: Path, write: Write) -> None:
    write("a")
    inner = tmp_path / "versions"
    inner.mkdir()
    (tmp_path / "a.py").rename(inner / "a.py")
    assert History.load(tmp_path).folders == (inner,)


def test_a_file_that_changed_after_loading_is_noticed(tmp_path: Path, write: Write) -> None:
    write("a")
    write("b", "a")
    history = History.load(tmp_path)
    assert history.changed_files() == ()
    (tmp_path / "b.py").unlink()
    assert history.changed_files() == ("b",)
