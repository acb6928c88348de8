"""The progress of backfills in Prefect: now and then, and never in the way of the rows."""

from uuid import UUID, uuid4

import pytest

from migrations.backfill.operation import BackfillProgress
from tasks import backfills
from tasks.backfills import ProgressArtifact


def progress(passed: int, *, finished: bool = False, waiting: str = "") -> BackfillProgress:
    return BackfillProgress("r2", "public.counters", passed, passed, 400, 50.0, (400 - passed) / 50, waiting, finished)


def test_it_is_made_once_updated_now_and_then_and_ends_at_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[UUID, float, str]] = []
    made = uuid4()

    def create(progress: float, key: str, description: str) -> UUID:
        assert key == "backfill"
        shown.append((made, progress, description))
        return made

    def update(artifact_id: UUID, progress: float, description: str) -> UUID:
        shown.append((artifact_id, progress, description))
        return artifact_id

    monkeypatch.setattr(backfills, "create_progress_artifact", create)
    monkeypatch.setattr(backfills, "update_progress_artifact", update)
    artifact = ProgressArtifact()
    for passed in range(100, 400, 10):
        artifact(progress(passed, waiting="paused"))
    artifact(progress(400, finished=True))
    assert shown == [
        (made, 25.0, "public.counters in r2: 100 of 400 rows (25%); 50 rows/s; 0:00:06 left; paused"),
        (made, 100.0, "public.counters in r2: 400 of 400 rows (100%); 50 rows/s"),
    ]


def test_a_prefect_that_does_not_answer_is_asked_once_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def create(progress: float, key: str, description: str) -> UUID:
        del key, description
        asked.append(progress)
        raise ConnectionError("no server")

    monkeypatch.setattr(backfills, "create_progress_artifact", create)
    artifact = ProgressArtifact()
    artifact(progress(100))
    artifact(progress(400, finished=True))
    assert asked == [25.0]
