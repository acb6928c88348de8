import multiprocessing
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from deployments.ledger import (
    EndState,
    LeaseLost,
    Ledger,
    LedgerUnreachable,
    LedgerUnusable,
    Release,
    ReleaseAlive,
    ReleaseEnded,
    ReleaseNotFound,
    ReleaseRunning,
    schema,
)
from deployments.ledger.history import VERSION_TABLE


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
    return str(request.getfixturevalue("database").owner_dsn)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as opened:
        yield opened


def begin(ledger: Ledger, target: str = "production", lease_s: float = 60, flow_run_id: str | None = None) -> Release:
    return ledger.begin_release(
        target=target,
        ref="v2",
        commit_sha="5d1c" * 10,
        target_revision="20251101_0900",
        requested_by="ana",
        flow_run_id=flow_run_id,
        lease_s=lease_s,
    )


def expire(ledger: Ledger, release: Release) -> None:
    ledger.renew_lease(release.id, -1)


def begin_elsewhere(url: str, start: "threading.Barrier", outcomes: "multiprocessing.Queue[str]") -> None:
    with Ledger.open(url) as ledger:
        start.wait(60)
        try:
            begin(ledger)
        except ReleaseRunning:
            outcomes.put("refused")
        else:
            outcomes.put("began")


def open_elsewhere(url: str, start: "threading.Barrier", outcomes: "multiprocessing.Queue[str]") -> None:
    start.wait(60)
    with Ledger.open(url) as ledger:
        outcomes.put(begin(ledger, target=multiprocessing.current_process().name).state)


def test_release_is_kept_as_it_was_given_with_moments_in_utc(ledger: Ledger) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    release = begin(ledger, flow_run_id="run-1")
    assert ledger.release(release.id) == release
    assert (release.target, release.ref, release.requested_by) == ("production", "v2", "ana")
    assert (release.target_revision, release.flow_run_id, release.state) == ("20251101_0900", "run-1", "running")
    assert release.started_at.utcoffset() == timedelta(0)
    assert before < release.started_at < datetime.now(UTC) + timedelta(seconds=5)
    assert release.lease_expires_at - release.started_at == timedelta(seconds=60)
    assert release.ended_at is None


@pytest.mark.parametrize("there", ["", "-journal", "-wal", "-shm"])
def test_a_ledger_in_a_file_is_its_owners_alone(tmp_path: Path, there: str) -> None:
    file = tmp_path / "new" / "ledger.db"
    if there:
        # As an earlier version left them.
        file.parent.mkdir()
        for name in (file, file.with_name(file.name + there)):
            name.touch()
            name.chmod(0o644)
    before = os.umask(0)
    try:
        with Ledger.open(f"sqlite:///{file}") as ledger:
            begin(ledger)
            seen = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert seen["ledger.db"] == 0o600
    assert set(seen.values()) == {0o600}
    if not there:
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_release_id_tells_when_it_began(ledger: Ledger) -> None:
    release = begin(ledger)
    day, clock, rest = release.id.split("-")
    named = datetime.strptime(f"{day}{clock}+0000", "%Y%m%d%H%M%S%z")
    assert abs(named - release.started_at) < timedelta(seconds=10)
    assert len(rest) == 4


def test_second_release_of_a_target_is_refused_with_what_to_do(ledger: Ledger) -> None:
    first = begin(ledger)
    with pytest.raises(ReleaseRunning) as refused:
        begin(ledger)
    assert refused.value.release.id == first.id
    assert not refused.value.closable
    said = str(refused.value)
    assert first.id in said
    assert first.holder in said
    assert "its lease is live until" in said
    assert "Wait until it has ended." in said


def test_second_release_over_an_expired_lease_is_told_how_to_close_the_first(ledger: Ledger) -> None:
    first = begin(ledger)
    expire(ledger, first)
    with pytest.raises(
        ReleaseRunning,
        match=rf"lease expired at .*pilotage recover {first.id}` finishes.*abandon {first.id}`",
    ) as refused:
        begin(ledger)
    assert refused.value.closable


def test_releases_of_two_targets_run_side_by_side(ledger: Ledger) -> None:
    assert begin(ledger, "shop").id != begin(ledger, "billing").id
    shop, billing = ledger.running("shop"), ledger.running("billing")
    assert shop is not None
    assert billing is not None
    assert {shop.target, billing.target} == {"shop", "billing"}


def test_target_is_free_again_once_the_release_has_ended(ledger: Ledger) -> None:
    first = begin(ledger)
    ended = ledger.end_release(first.id, "succeeded", "production serves v2")
    assert (ended.state, ended.summary) == ("succeeded", "production serves v2")
    assert ended.ended_at is not None
    second = begin(ledger)
    assert ledger.running("production") == second
    assert ledger.last_successful("production") == ended
    assert [each.id for each in ledger.releases("production")] == [second.id, first.id]
    assert [each.id for each in ledger.releases(limit=1)] == [second.id]
    assert ledger.releases("other") == ()


def test_ending_twice_alike_is_one_ending_and_otherwise_is_refused(ledger: Ledger) -> None:
    release = begin(ledger)
    ended = ledger.end_release(release.id, "failed", "the revision failed")
    assert ledger.end_release(release.id, "failed", "the revision failed") == ended
    with pytest.raises(ReleaseEnded, match="already ended as failed: the revision failed"):
        ledger.end_release(release.id, "succeeded", "all is well")


def test_unknown_release_is_named(ledger: Ledger) -> None:
    for ask in (ledger.release, ledger.steps, ledger.leftovers, ledger.abandonable):
        with pytest.raises(ReleaseNotFound, match="no release 19700101-000000-0000"):
            ask("19700101-000000-0000")
    with pytest.raises(ReleaseNotFound):
        ledger.begin_step("19700101-000000-0000", "promote")


def test_steps_are_read_in_the_order_they_were_written(ledger: Ledger) -> None:
    release = begin(ledger)
    with ledger.step(release.id, "snapshot", {"branch": "before"}) as snapshot:
        snapshot.result({"lsn": "0/19F2C40"})
    ledger.note(release.id, "approval", {"by": ["ana", "bo"], "go": True})
    steps = ledger.steps(release.id)
    assert [(each.seq, each.step, each.event) for each in steps] == [
        (1, "snapshot", "begun"),
        (2, "snapshot", "done"),
        (3, "approval", "noted"),
    ]
    assert [each.details for each in steps] == [
        {"branch": "before"},
        {"lsn": "0/19F2C40"},
        {"by": ["ana", "bo"], "go": True},
    ]
    assert all(each.at.utcoffset() == timedelta(0) for each in steps)


def test_step_that_fails_is_written_with_its_error_and_without_passwords(ledger: Ledger) -> None:
    release = begin(ledger)

    def migrate() -> None:
        with ledger.step(release.id, "migrate", {"revision": "a"}) as step:
            step.result({"statements": 3})
            raise ConnectionError("postgresql://owner:s3cr3t@db.example/app is away")

    with pytest.raises(ConnectionError):
        migrate()
    failed = ledger.steps(release.id)[-1]
    assert failed.event == "failed"
    assert failed.details == {
        "statements": 3,
        "error": "ConnectionError",
        "message": "postgresql://***@db.example/app is away",
    }


def test_step_takes_what_json_has_no_word_for(ledger: Ledger) -> None:
    release = begin(ledger)
    ledger.note(release.id, "watch", {"p95_ms": float("nan"), "output": "a\x00b"})
    assert ledger.steps(release.id)[0].details == {"p95_ms": "nan", "output": "a\N{REPLACEMENT CHARACTER}b"}


@pytest.mark.parametrize("statement", ["UPDATE steps SET step = 'other'", "DELETE FROM steps"])
def test_database_itself_refuses_to_change_a_step(url: str, ledger: Ledger, statement: str) -> None:
    release = begin(ledger)
    ledger.note(release.id, "seal", {"lsn": "0/1"})
    before = ledger.steps(release.id)
    refuse(url, statement)
    assert ledger.steps(release.id) == before


def test_database_itself_refuses_to_replace_or_empty_the_steps(url: str, ledger: Ledger) -> None:
    release = begin(ledger)
    step = ledger.note(release.id, "seal", {"lsn": "0/1"})
    values = f"('{step.id}', '{release.id}', 1, 'seal', 'noted', '2026-01-01 00:00:00', '{{}}')"
    if url.startswith("sqlite"):
        refuse(url, f"INSERT OR REPLACE INTO steps (id, release_id, seq, step, event, at, details) VALUES {values}")
    else:
        refuse(url, "TRUNCATE steps CASCADE")
    assert ledger.steps(release.id) == (step,)


def refuse(url: str, statement: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def test_live_release_cannot_be_abandoned(ledger: Ledger) -> None:
    release = begin(ledger)
    with pytest.raises(ReleaseAlive, match="is alive, and its lease is live until"):
        ledger.abandon(release.id, reason="impatient", by="bo")
    assert ledger.release(release.id).state == "running"


def test_release_with_an_expired_lease_can_be_abandoned_and_its_process_changes_nothing_more(ledger: Ledger) -> None:
    release = begin(ledger)
    ledger.begin_step(release.id, "promote", {"deployment": "dpl_1"})
    expire(ledger, release)
    closed = ledger.abandon(release.id, reason="worker lost", by="bo")
    assert (closed.state, closed.summary) == ("abandoned", "abandoned by bo: worker lost")
    assert ledger.abandon(release.id, reason="worker lost", by="bo") == closed
    begin(ledger)
    for late in (
        lambda: ledger.renew_lease(release.id, 60),
        lambda: ledger.begin_step(release.id, "validate"),
        lambda: ledger.end_release(release.id, "succeeded", "late"),
    ):
        with pytest.raises(LeaseLost, match=f"release {release.id} of production is no longer ours: it is abandoned"):
            late()
    # What was done is a fact, whoever holds the target now.
    assert ledger.finish_step(release.id, "promote").event == "done"


def test_ended_release_cannot_be_abandoned(ledger: Ledger) -> None:
    release = begin(ledger)
    ledger.end_release(release.id, "succeeded", "done")
    with pytest.raises(ReleaseEnded):
        ledger.abandon(release.id, reason="tidy", by="bo")


def test_kept_lease_is_renewed_while_the_block_runs(ledger: Ledger) -> None:
    release = begin(ledger, lease_s=0.3)
    with ledger.lease_kept(release.id, 0.3) as kept:
        environment_prepared = ledger.release(release.id).lease_expires_at
        until(lambda: ledger.release(release.id).lease_expires_at > environment_prepared)
    assert kept.lost is None


def test_kept_lease_tells_when_the_release_was_closed(ledger: Ledger) -> None:
    release = begin(ledger)
    with ledger.lease_kept(release.id, 0.06) as kept:
        ledger.end_release(release.id, "undecided", "closed elsewhere")
        until(lambda: kept.lost is not None)
        with pytest.raises(LeaseLost, match="closed elsewhere"), ledger.step(release.id, "promote"):
            pytest.fail("an act was begun in a release that is no longer ours")
    assert ledger.steps(release.id) == ()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.mark.parametrize("state", ["succeeded", "rolled_back", "failed", "undecided"])
def test_no_act_begins_in_a_release_that_has_ended_however_it_ended(ledger: Ledger, state: EndState) -> None:
    release = begin(ledger)
    ledger.end_release(release.id, state, "a test")
    with pytest.raises(LeaseLost, match=f"it is {state}"):
        ledger.begin_step(release.id, "promote")
    ledger.finish_step(release.id, "promote")
    assert [each.event for each in ledger.steps(release.id)] == ["done"]


def test_left_behind_names_what_was_made_and_not_taken_back(ledger: Ledger) -> None:
    release = begin(ledger)
    with ledger.step(release.id, "snapshot", {"branch": "before-v2"}):
        pass
    with ledger.step(release.id, "rehearsal", {"branch": "rehearsal"}) as rehearsal:
        rehearsal.result({"branch_deleted": "rehearsal"})
    ledger.note(release.id, "maintenance", {"maintenance": True})
    ledger.note(release.id, "maintenance", {"maintenance": False})
    ledger.note(release.id, "protection", {"protection_lifted": True})
    ledger.begin_step(release.id, "build", {"deployment": ["dpl_1", "dpl_2"]})
    left = ledger.leftovers(release.id)
    assert left.release == release
    assert [each.step for each in left.unfinished] == ["build"]
    assert left.branches == ("before-v2",)
    assert left.deployments == ("dpl_1", "dpl_2")
    assert not left.maintenance
    assert left.protection_lifted


def test_newest_catalog_of_an_environment_is_the_recorded_one(ledger: Ledger) -> None:
    release = begin(ledger)
    assert ledger.recorded_catalog("production", "production") is None
    for number in (1, 2):
        ledger.record_catalog(
            "production",
            "production",
            release_id=release.id,
            revision=f"r{number}",
            digest=f"d{number}",
            catalog_json=f'{{"number":  {number}}}',
        )
    ledger.record_catalog("production", "staging", release_id=None, revision=None, digest="s", catalog_json="{}")
    kept = ledger.recorded_catalog("production", "production")
    assert kept is not None
    assert (kept.revision, kept.digest, kept.catalog_json) == ("r2", "d2", '{"number":  2}')
    assert kept.release_id == release.id
    assert kept.at.utcoffset() == timedelta(0)


def test_the_catalog_before_a_release_is_the_one_that_it_found(ledger: Ledger) -> None:
    first, second = begin(ledger), begin(ledger, target="other")
    for release, revision in ((first, "a"), (second, "b"), (second, "c"), (first, "d")):
        ledger.record_catalog(
            "t", "production", release_id=release.id, revision=revision, digest=revision, catalog_json="[]"
        )
    found = ledger.catalog_before("t", "production", second.id)
    assert found is not None
    assert found.revision == "a"
    assert ledger.catalog_before("t", "production", first.id) is None
    newest = ledger.catalog_before("t", "production", "of none")
    assert newest is not None
    assert newest.revision == "d"
    at_c = ledger.recorded_catalog("t", "production", revision="c")
    assert at_c is not None
    assert at_c.release_id == second.id


def test_acts_are_those_of_these_names_of_a_target_s_releases_in_their_order(ledger: Ledger) -> None:
    mine, others = begin(ledger), begin(ledger, target="other")
    for release in (mine, others):
        for name in ("promote", "migrate production", "promote"):
            ledger.note(release.id, name)
    found = ledger.acts("production", "promote")
    assert list(found) == [mine.id]
    assert [(each.step, each.seq) for each in found[mine.id]] == [("promote", 1), ("promote", 3)]


def test_announcement_is_claimed_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ledger.announce_once, ["production"] * 8, ["staging"] * 8, ["digest"] * 8))
    assert sorted(told) == [False] * 7 + [True]
    assert ledger.announce_once("production", "production", "digest")
    assert not ledger.announce_once("production", "staging", "digest")


def test_of_many_threads_that_begin_at_once_one_wins(ledger: Ledger) -> None:
    barrier = threading.Barrier(6)

    def race(_: int) -> str:
        barrier.wait()
        try:
            return begin(ledger).state
        except ReleaseRunning:
            return "refused"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(race, range(6))) == ["refused"] * 5 + ["running"]


def test_of_two_processes_that_begin_at_once_one_wins(url: str) -> None:
    Ledger.open(url).close()
    assert in_processes(begin_elsewhere, url, 2) == ["began", "refused"]


def test_fresh_ledger_may_be_opened_by_several_processes_at_once(url: str) -> None:
    assert in_processes(open_elsewhere, url, 3) == ["running"] * 3
    with Ledger.open(url) as ledger:
        assert len(ledger.releases()) == 3


def test_a_release_goes_on_writing_after_another_process_has_closed_the_ledger(url: str) -> None:
    with Ledger.open(url) as lease:
        release = begin(lease)
        with Ledger.open(url) as step:
            step.note(release.id, "before", {})
            assert in_processes(read_elsewhere, url, 1) == [release.id]
            step.note(release.id, "after", {})
        with Ledger.open(url) as fresh:
            fresh.note(release.id, "anew", {})
    assert in_processes(read_elsewhere, url, 1) == [release.id]
    with Ledger.open(url) as ledger:
        assert [entry.step for entry in ledger.steps(release.id)] == ["before", "after", "anew"]


def read_elsewhere(url: str, start: "threading.Barrier", outcomes: "multiprocessing.Queue[str]") -> None:
    start.wait(60)
    with Ledger.open(url) as ledger:
        outcomes.put(ledger.releases()[0].id)


def in_processes(work: object, url: str, count: int) -> list[str]:
    spawn = multiprocessing.get_context("spawn")
    start, outcomes = spawn.Barrier(count), spawn.Queue()
    processes = [spawn.Process(target=work, args=(url, start, outcomes)) for _ in range(count)]  # pyright: ignore[reportArgumentType]
    for process in processes:
        process.start()
    told = sorted(outcomes.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(30)
        process.close()
    return told


def test_tables_are_what_the_history_makes_of_them(url: str, ledger: Ledger) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
            )
            assert compare_metadata(context, schema.metadata) == []
    finally:
        engine.dispose()


def test_ledger_of_a_newer_pilotage_is_refused(url: str) -> None:
    Ledger.open(url).close()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '29991231_0000'"))
    engine.dispose()
    with pytest.raises(LedgerUnusable, match="revision 29991231_0000, which this Pilotage does not know"):
        Ledger.open(url)


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("nonsense", LedgerUnusable, "the ledger's address cannot be read"),
        ("mysql://host/db", LedgerUnusable, "cannot stand on mysql"),
        ("sqlite://", LedgerUnusable, "dies with its process"),
        (
            "postgresql://ana:s3cr3t@127.0.0.1:1/ledger",
            LedgerUnreachable,
            "://\\*\\*\\*@127.0.0.1:1/ledger does not answer",
        ),
    ],
)
def test_address_that_is_no_ledger_is_told_without_its_password(url: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        Ledger.open(url)
    assert "s3cr3t" not in str(refused.value)


def test_release_that_was_taken_over_is_changed_by_its_new_holder_alone(ledger: Ledger) -> None:
    release = begin(ledger, flow_run_id="first")
    expire(ledger, release)
    taken = ledger.take_over(release.id, 60, flow_run_id="second")
    assert (taken.state, taken.fence, taken.flow_run_id) == ("running", release.fence + 1, "second")
    assert taken.lease_expires_at > release.started_at
    for late in (
        lambda: ledger.check_fence(release.id, release.fence),
        lambda: ledger.renew_lease(release.id, 60, fence=release.fence),
        lambda: ledger.begin_step(release.id, "promote", fence=release.fence),
        lambda: ledger.end_release(release.id, "succeeded", "late", fence=release.fence),
    ):
        with pytest.raises(LeaseLost, match=r"no longer ours: .* has taken it over\. Nothing more may be changed"):
            late()
    ledger.check_fence(release.id, taken.fence)
    with ledger.lease_kept(release.id, 60, fence=taken.fence), ledger.step(release.id, "promote", fence=taken.fence):
        pass
    assert [step.event for step in ledger.steps(release.id)] == ["begun", "done"]
    assert ledger.end_release(release.id, "rolled_back", "done", fence=taken.fence).state == "rolled_back"
    with pytest.raises(LeaseLost, match="it is rolled_back"):
        ledger.end_release(release.id, "succeeded", "later still", fence=release.fence)


def test_lease_that_was_taken_over_is_not_renewed_by_the_one_that_lost_it(ledger: Ledger) -> None:
    release = begin(ledger)
    with ledger.lease_kept(release.id, 0.06, fence=release.fence) as kept:
        expire(ledger, release)
        until(lambda: kept.lost is not None or taken_over(ledger, release))
        until(lambda: kept.lost is not None)
    assert ledger.release(release.id).fence == release.fence + 1


def taken_over(ledger: Ledger, release: Release) -> bool:
    """Take a release over in the moment between two renewals of its lease, if it is such a moment."""
    expire(ledger, release)
    try:
        ledger.take_over(release.id, 60, flow_run_id=None)
    except ReleaseAlive:
        return False
    return True


def test_release_that_lives_or_has_ended_is_not_taken_over(ledger: Ledger) -> None:
    release = begin(ledger)
    with pytest.raises(ReleaseAlive, match="is alive, and its lease is live until"):
        ledger.take_over(release.id, 60, flow_run_id=None)
    ledger.end_release(release.id, "succeeded", "done")
    with pytest.raises(ReleaseEnded):
        ledger.take_over(release.id, 60, flow_run_id=None)


def test_of_many_that_take_a_dead_release_over_one_does(url: str, ledger: Ledger) -> None:
    release = begin(ledger)
    expire(ledger, release)
    together = threading.Barrier(6)

    def take() -> int | None:
        with Ledger.open(url) as own:
            together.wait(60)
            try:
                return own.take_over(release.id, 60, flow_run_id=None).fence
            except ReleaseAlive:
                return None

    with ThreadPoolExecutor(6) as threads:
        found = [one.result() for one in [threads.submit(take) for _ in range(6)]]
    assert [one for one in found if one is not None] == [release.fence + 1]
