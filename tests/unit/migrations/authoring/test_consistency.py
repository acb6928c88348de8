"""What can be told of a history by reading it."""

from pathlib import Path

import pytest

from migrations.authoring.consistency.naming import check_names, check_phases_declared, is_stamp
from migrations.authoring.consistency.order import check_heads, check_order
from migrations.history.revisions import History

REVISION = """
\"\"\"Add something.\"\"\"
revision = {id!r}
down_revision = {down!r}
branch_labels = None
depends_on = None
{phase}
def upgrade() -> None: ...
def downgrade() -> None: ...
"""


def written(folder: Path, *revisions: tuple[str, str | tuple[str, ...] | None, str], name: str = "") -> History:
    for id_, down, phase in revisions:
        said = f"phase = {phase!r}" if phase else ""
        file = folder / (name or f"{id_}_add_something.py")
        file.write_text(REVISION.format(id=id_, down=down, phase=said))
    return History.load(folder)


@pytest.mark.parametrize(
    ("name", "id_", "expected"),
    [
        ("20250101_0900_add_something.py", "20250101_0900", []),
        ("20250101_0900_optimize_users_index_2.py", "20250101_0900", []),
        ("20250101_0900_adds_something.py", "20250101_0900", ["its name is not YYYYMMDD_HHMM_action_description.py"]),
        ("20250101_0900_add.py", "20250101_0900", ["its name is not YYYYMMDD_HHMM_action_description.py"]),
        ("20250101_0900_add_Something.py", "20250101_0900", ["its name is not YYYYMMDD_HHMM_action_description.py"]),
        (
            "20250101_0901_add_something.py",
            "20250101_0900",
            ["its id is 20250101_0900, and its name says 20250101_0901"],
        ),
        ("20251301_0900_add_something.py", "20251301_0900", ["its id 20251301_0900 is no minute (YYYYMMDD_HHMM)"]),
        (
            "3f2a_add_something.py",
            "3f2a",
            ["its id 3f2a is no minute (YYYYMMDD_HHMM)", "its name is not YYYYMMDD_HHMM_action_description.py"],
        ),
    ],
)
def test_a_revision_that_is_not_named_by_the_convention_is_found(
    tmp_path: Path, name: str, id_: str, expected: list[str]
) -> None:
    result = check_names(written(tmp_path, (id_, None, "expand"), name=name))
    assert [found.detail for found in result.findings] == expected
    assert {found.subject for found in result.findings} <= {name}


def test_an_id_that_alembic_cannot_keep_is_found(tmp_path: Path) -> None:
    found = check_names(written(tmp_path, ("a" * 33, None, "expand"))).findings
    assert "is longer than 32 characters" in found[0].detail


def test_a_revision_that_is_not_later_than_what_it_follows_is_found(tmp_path: Path) -> None:
    history = written(tmp_path, ("20250102_0900", None, "expand"), ("20250101_0900", "20250102_0900", "expand"))
    found = check_names(history).findings
    assert [one.detail for one in found] == ["it follows 20250102_0900, which is not older"]


@pytest.mark.parametrize("revision", ["20250230_0900", "20250101_2400", "2025", "20250101_09000"])
def test_only_a_minute_of_the_calendar_is_a_stamp(revision: str) -> None:
    assert not is_stamp(revision)
    assert is_stamp("20240229_2359")


def test_a_revision_that_does_not_say_its_phase_is_found(tmp_path: Path) -> None:
    history = written(
        tmp_path,
        ("20250101_0900", None, "expand"),
        ("20250102_0900", "20250101_0900", "contract"),
        ("20250103_0900", "20250102_0900", "widen"),
        ("20250104_0900", "20250103_0900", ""),
    )
    details = [found.detail for found in check_phases_declared(history).findings]
    assert details == ["declares phase 'widen'", "declares no phase"]


def test_two_heads_are_found_with_their_files(tmp_path: Path) -> None:
    base = written(tmp_path, ("20250101_0900", None, "expand"))
    assert check_heads(base).passed
    history = written(
        tmp_path, ("20250102_0900", "20250101_0900", "expand"), ("20250102_0901", "20250101_0900", "expand")
    )
    (found,) = check_heads(history).findings
    assert {name.strip() for name in found.subject.split(",")} == {
        "20250102_0900_add_something.py",
        "20250102_0901_add_something.py",
    }
    assert "pilotage merge" in found.advice


def test_an_expand_above_a_pending_contract_is_found(tmp_path: Path) -> None:
    history = written(
        tmp_path,
        ("20250101_0900", None, "expand"),
        ("20250102_0900", "20250101_0900", "contract"),
        ("20250103_0900", "20250102_0900", "expand"),
    )
    (found,) = check_order(history, ("20250101_0900",)).findings
    assert found.subject == "20250103_0900_add_something.py"
    assert "20250102_0900, which contracts" in found.detail
    assert check_order(history, ("20250102_0900",)).passed
    assert not check_order(history, None).told
