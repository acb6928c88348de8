"""Branches of the local platform: exact to the commit, while several threads write."""

import itertools
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from deployments.local.errors import RefusedError
from deployments.local.hosting.processes import Spawner
from deployments.local.neon.branch_changes import NewBranch, create_branch, delete_branch, update_branch
from deployments.local.neon.branches import Accepted, BranchStore, connection_uri
from deployments.local.neon.computes import create_endpoint, suspend_endpoint
from deployments.local.neon.keeper import Keeper
from deployments.local.neon.limits import Limits
from deployments.local.neon.operations import Operation
from deployments.local.neon.project import Seed, open_project
from deployments.local.neon.records import Branch, Endpoint
from deployments.local.neon.restore import restore_branch
from deployments.local.neon.snapshots import create_snapshot, delete_snapshot
from deployments.local.postgres.backup import bases, take_base
from deployments.local.postgres.cluster import data_root, remove_data_root

_DATABASE, _OWNER, _APP = Seed.database, Seed.owner, Seed.app


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, spawner: Spawner) -> Iterator[BranchStore]:
    state = tmp_path_factory.mktemp("branches")
    with open_project(data_root(state), spawner=spawner, limits=Limits(branches=12, root_branches=4)) as store:
        with psycopg.connect(_uri(store, store.default_branch())) as owner:
            owner.execute("CREATE TABLE rows (id bigint PRIMARY KEY, note text)")
        yield store
    remove_data_root(state)


def _uri(store: BranchStore, branch: Branch, role: str = _OWNER) -> str:
    return connection_uri(store, branch_id=branch.id, endpoint_id=None, database=_DATABASE, role=role)


def _done(store: BranchStore, accepted: Accepted) -> Branch | None:
    """Wait for the operations of a change, all of which must succeed, and return the branch as it is then."""
    assert store.operations.wait_until_free(120)
    for operation in _as_they_are(store, accepted):
        assert operation.status == "finished", operation.error
    return store.project.branch(accepted.branch.id)


def _ready(store: BranchStore, accepted: Accepted) -> Branch:
    branch = _done(store, accepted)
    assert branch is not None
    assert branch.current_state == "ready"
    return branch


def _as_they_are(store: BranchStore, accepted: Accepted) -> list[Operation]:
    found = [store.operations.get(operation.id) for operation in accepted.operations]
    return [operation for operation in found if operation is not None]


def _endpoint(store: BranchStore, branch: Branch) -> Endpoint:
    endpoint = store.project.endpoint_of(branch.id)
    assert endpoint is not None
    return endpoint


def _ids(uri: str) -> set[int]:
    with psycopg.connect(uri) as connection:
        return {int(row[0]) for row in connection.execute("SELECT id FROM rows").fetchall()}


def _server(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    row = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    assert row is not None
    return row[0]


@dataclass(frozen=True)
class _Write:
    """A commit that was acknowledged: by which server, and between which moments."""

    id: int
    began: float
    ended: float
    server: object


@dataclass
class _Load:
    """Four threads that insert one row a transaction, and note each acknowledged one."""

    uri: str
    writes: list[_Write] = field(default_factory=list[_Write])
    disconnections: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(time.monotonic_ns()))
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def __enter__(self) -> "_Load":
        self._threads = [threading.Thread(target=self._write) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        target = len(self.writes) + more
        while len(self.writes) < target:
            assert any(thread.is_alive() for thread in self._threads)
            time.sleep(0.005)

    def _write(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self.uri, autocommit=True, connect_timeout=5) as connection:
                    server = _server(connection)
                    while not self._stop.is_set():
                        id_ = next(self._numbers)
                        began = time.monotonic()
                        connection.execute("INSERT INTO rows VALUES (%s, 'written under load')", [id_])
                        self.writes.append(_Write(id_, began, time.monotonic(), server))
                        self._stop.wait(0.01 + id_ % 7 * 0.005)
            except psycopg.Error:
                self.disconnections += 1
                self._stop.wait(0.005)


@dataclass(frozen=True)
class _Seal:
    lsn: str
    began: float
    ended: float


def _seal(uri: str) -> _Seal:
    with psycopg.connect(uri) as connection:
        began = time.monotonic()
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        return _Seal(str(row[0]), began, time.monotonic())


def _assert_exact(present: set[int], writes: list[_Write], seal: _Seal) -> None:
    before = {write.id for write in writes if write.ended < seal.began}
    after = {write.id for write in writes if write.began > seal.ended}
    assert before, "nothing was written before the seal"
    assert after, "nothing was written after the seal"
    assert before <= present, f"lost: {sorted(before - present)[:5]}"
    assert not after & present, f"too new: {sorted(after & present)[:5]}"


def test_branch_at_an_lsn_has_every_commit_before_it_and_none_after(store: BranchStore) -> None:
    main = store.default_branch()
    with _Load(_uri(store, main, _APP)) as load:
        for _ in range(2):
            load.wait_for(20)
            seal = _seal(_uri(store, main))
            load.wait_for(20)
            branch = _ready(store, create_branch(store, NewBranch(parent_lsn=seal.lsn, compute=True)))
            _assert_exact(_ids(_uri(store, branch)), list(load.writes), seal)
            assert branch.parent_lsn == seal.lsn
            _done(store, delete_branch(store, branch.id))
        assert load.disconnections == 0


def test_branch_at_now_has_every_commit_that_was_acknowledged(store: BranchStore) -> None:
    main = store.default_branch()
    with _Load(_uri(store, main, _APP)) as load:
        load.wait_for(20)
        asked = time.monotonic()
        branch = _ready(store, create_branch(store, NewBranch(name="now", compute=True)))
        present = _ids(_uri(store, branch))
        assert {write.id for write in load.writes if write.ended < asked} <= present
        assert load.disconnections == 0
    _done(store, delete_branch(store, branch.id))


def test_restore_in_place_is_exact_keeps_the_address_and_the_former_state(store: BranchStore) -> None:
    main = store.default_branch()
    uri, endpoint = _uri(store, main), _endpoint(store, main)
    with _Load(_uri(store, main, _APP)) as load:
        for trial in range(5):
            load.wait_for(20)
            seal = _seal(uri)
            load.wait_for(20 + trial * 5)
            update_branch(store, main.id, protected=False)
            work = restore_branch(
                store, main.id, source_branch_id=main.id, source_lsn=seal.lsn, preserve_under_name=f"before-{trial}"
            )
            restored = _ready(store, work)
            update_branch(store, main.id, protected=True)
            with psycopg.connect(uri) as connection:
                server = _server(connection)
            present = _ids(uri)
            former = [write for write in load.writes if write.server != server]
            _assert_exact(present, former, seal)
            assert (restored.id, restored.name, restored.default, restored.root) == (main.id, main.name, True, True)
            assert _endpoint(store, restored).host == endpoint.host
            kept = store.project.branch_named(f"before-{trial}")
            assert kept is not None
            assert kept.root
            assert store.project.endpoint_of(kept.id) is None
            if trial == 0:
                assert {child.name for child in store.project.children(kept.id)} == {"staging"}
                _done(store, create_endpoint(store, kept.id))
                assert {write.id for write in former} <= _ids(_uri(store, kept))
            else:
                _done(store, delete_branch(store, kept.id))
            load.writes[:] = [write for write in load.writes if write.server == server or write.id in present]


def test_restored_branch_can_go_back_into_the_history_before_its_restore(store: BranchStore) -> None:
    main = store.default_branch()
    uri = _uri(store, main)
    points: list[tuple[str, set[int]]] = []
    for number in range(3):
        with psycopg.connect(uri) as owner:
            owner.execute("INSERT INTO rows VALUES (%s, 'history')", [-100 - number])
        points.append((_seal(uri).lsn, _ids(uri)))
    update_branch(store, main.id, protected=False)
    for step, (lsn, expected) in enumerate(reversed(points)):
        work = restore_branch(store, main.id, source_branch_id=main.id, source_lsn=lsn, preserve_under_name=f"s{step}")
        _ready(store, work)
        assert _ids(uri) == expected
        if step:  # the history lies in the state that was kept first
            kept = store.project.branch_named(f"s{step}")
            assert kept is not None
            _done(store, delete_branch(store, kept.id))
    update_branch(store, main.id, protected=True)
    kept = store.project.branch_named("s0")
    assert kept is not None
    _done(store, delete_branch(store, kept.id))


def test_staging_reset_from_production_keeps_its_own_address_and_passwords(store: BranchStore) -> None:
    main, staging = store.default_branch(), store.project.branch_named("staging")
    assert staging is not None
    uri = _uri(store, staging, _APP)
    _ready(store, restore_branch(store, staging.id, source_branch_id=main.id))
    with psycopg.connect(uri) as app:
        app.execute("INSERT INTO rows VALUES (-1, 'only on staging')")
    restored = _ready(store, restore_branch(store, staging.id, source_branch_id=main.id))
    assert _ids(uri) == _ids(_uri(store, main))
    assert restored.parent_id == main.id
    assert _uri(store, restored, _APP) == uri
    with psycopg.connect(uri) as app:
        app.execute("INSERT INTO rows VALUES (-2, 'kept')")
    seal = _seal(_uri(store, restored))
    with psycopg.connect(uri) as app:
        app.execute("INSERT INTO rows VALUES (-3, 'gone')")
    back = restore_branch(
        store, staging.id, source_branch_id=staging.id, source_lsn=seal.lsn, preserve_under_name="staging-failed"
    )
    restored = _ready(store, back)
    assert {-2, -3} & _ids(uri) == {-2}
    kept = store.project.branch_named("staging-failed")
    assert kept is not None
    assert (kept.parent_id, restored.parent_id) == (main.id, kept.id)


def test_children_of_a_protected_branch_get_new_passwords_and_others_do_not(store: BranchStore) -> None:
    main = store.default_branch()
    child = _ready(store, create_branch(store, NewBranch(name="child", compute=True)))
    grandchild = _ready(store, create_branch(store, NewBranch(name="grandchild", parent_id=child.id, compute=True)))
    passwords = {
        branch.name: tuple(role.password for role in (branch.role(_OWNER), branch.role(_APP)) if role is not None)
        for branch in (main, child, grandchild)
    }
    assert not set(passwords["main"]) & set(passwords["child"])
    assert passwords["grandchild"] == passwords["child"]
    for branch in (child, grandchild):
        for role in (_OWNER, _APP):
            psycopg.connect(_uri(store, branch, role)).close()
    with pytest.raises(RefusedError, match=f"has children: {grandchild.id}"):
        delete_branch(store, child.id)
    for branch in (grandchild, child):
        _done(store, delete_branch(store, branch.id))


def test_branch_without_compute_runs_nothing_until_it_gets_one(store: BranchStore) -> None:
    branch = _ready(store, create_branch(store, NewBranch(name="kept")))
    cluster = store.cluster(branch.folder)
    assert not cluster.running
    expected = _ids(_uri(store, store.default_branch()))
    copied = _ready(store, create_branch(store, NewBranch(name="copy", parent_id=branch.id, compute=True)))
    assert _ids(_uri(store, copied)) == expected
    _done(store, create_endpoint(store, branch.id))
    assert _ids(_uri(store, branch)) == expected
    seal = _seal(_uri(store, branch))
    with psycopg.connect(_uri(store, branch, _APP)) as app:
        app.execute("DELETE FROM rows")
    _done(store, suspend_endpoint(store, _endpoint(store, branch).id))
    again = _ready(
        store, create_branch(store, NewBranch(name="again", parent_id=branch.id, parent_lsn=seal.lsn, compute=True))
    )
    assert _ids(_uri(store, again)) == expected
    for done in (copied, again, branch):
        _done(store, delete_branch(store, done.id))
        assert not (store.root / done.folder).exists()


def test_branch_and_snapshot_go_by_themselves_when_they_expire(store: BranchStore) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    branch = _ready(store, create_branch(store, NewBranch(expires_at=soon)))
    work = create_snapshot(store, store.default_branch().id, name="nightly", lsn=None, expires_at=soon)
    assert work.snapshot is not None
    _done(store, work)
    deadline = time.monotonic() + 60
    while store.project.branch(branch.id) is not None or store.project.snapshots:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert store.operations.wait_until_free(60)


def test_snapshot_keeps_its_data_until_it_is_deleted(store: BranchStore) -> None:
    work = create_snapshot(store, store.default_branch().id, name="release", lsn=None, expires_at=None)
    assert work.snapshot is not None
    _done(store, work)
    folder = store.root / work.snapshot.folder
    assert (folder / "data" / "PG_VERSION").exists()
    _done(store, delete_snapshot(store, work.snapshot.id))
    assert not folder.exists()
    staging = store.project.branch_named("staging")
    assert staging is not None
    with pytest.raises(RefusedError, match="root branches"):
        create_snapshot(store, staging.id, name=None, lsn=None, expires_at=None)


def test_failed_restore_leaves_the_branch_as_it_was(store: BranchStore) -> None:
    branch = _ready(store, create_branch(store, NewBranch(name="unlucky", compute=True)))
    uri = _uri(store, branch)
    seal = _seal(uri)
    for base in bases(store.cluster(branch.folder)):
        (base.folder / "global" / "pg_control").write_bytes(b"not what it was")
    work = restore_branch(
        store, branch.id, source_branch_id=branch.id, source_lsn=seal.lsn, preserve_under_name="never"
    )
    store.operations.wait_until_free(120)
    assert [operation.status for operation in _as_they_are(store, work)] == ["failed", "cancelled"]
    found = store.branch(branch.id)
    assert (found.current_state, found.folder) == ("ready", branch.folder)
    assert store.project.branch_named("never") is None
    assert _ids(uri)
    _done(store, delete_branch(store, branch.id))


def test_lsn_outside_the_history_is_refused(store: BranchStore) -> None:
    for lsn, why in (("0/1", "oldest state"), ("FF/0", "has only come to"), ("yesterday", "is no LSN")):
        with pytest.raises(RefusedError, match=why) as refusal:
            create_branch(store, NewBranch(parent_lsn=lsn))
        assert refusal.value.status == 400


def test_history_older_than_its_retention_is_forgotten(store: BranchStore) -> None:
    branch = _ready(store, create_branch(store, NewBranch(name="forgetful", compute=True)))
    cluster = store.cluster(branch.folder)
    old = _seal(_uri(store, branch))
    for _ in range(2):
        with psycopg.connect(_uri(store, branch)) as owner:
            owner.execute("CREATE TABLE IF NOT EXISTS later (id int)")
        cluster.scalar("SELECT pg_switch_wal()")
        take_base(cluster)
    new = _seal(_uri(store, branch))
    store.commit(lambda project: project.model_copy(update={"history_retention_s": 0}))
    Keeper(store).look_after()
    store.commit(lambda project: project.model_copy(update={"history_retention_s": 3600}))
    assert len(bases(cluster)) == 1
    with pytest.raises(RefusedError, match="oldest state"):
        create_branch(store, NewBranch(parent_id=branch.id, parent_lsn=old.lsn))
    made = _ready(store, create_branch(store, NewBranch(parent_id=branch.id, parent_lsn=new.lsn)))
    for done in (made, branch):
        _done(store, delete_branch(store, done.id))


def test_compute_moves_when_its_port_was_taken_meanwhile(tmp_path: Path, spawner: Spawner) -> None:
    root = data_root(tmp_path)
    with open_project(root, spawner=spawner) as store:
        ports = [endpoint.port for endpoint in store.project.endpoints]
    with socket.create_server(("127.0.0.1", ports[0])), open_project(root, spawner=spawner) as store:
        again = {endpoint.port for endpoint in store.project.endpoints}
        assert ports[0] not in again
        assert ports[1] in again
        psycopg.connect(_uri(store, store.default_branch())).close()
    remove_data_root(tmp_path)


def test_project_goes_on_where_it_was_closed_or_killed(tmp_path: Path, spawner: Spawner) -> None:
    root = data_root(tmp_path)
    with open_project(root, spawner=spawner) as store:
        first = store.project
        main = store.default_branch()
        with psycopg.connect(_uri(store, main)) as owner:
            owner.execute("CREATE TABLE rows AS SELECT 1 AS id")
    killed = main.model_copy(update={"current_state": "resetting"})
    unfinished = main.model_copy(update={"id": "br-x", "name": "x", "folder": "c-x", "current_state": "init"})
    left = first.with_branch(killed).with_branch(unfinished)
    (root / "project.json").write_text(left.model_dump_json(), encoding="utf-8")
    shutil.copytree(root / main.folder, root / "c-x")
    with open_project(root, spawner=spawner) as store:
        assert {branch.name for branch in store.project.branches} == {"main", "staging"}
        assert not (root / "c-x").exists()
        assert store.project.endpoint_of(main.id) is not None
        assert _ids(_uri(store, store.default_branch())) == {1}
    remove_data_root(tmp_path)
