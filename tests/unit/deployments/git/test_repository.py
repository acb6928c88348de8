import importlib.util
import multiprocessing
import py_compile
import shutil
import socket
import stat
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dulwich import porcelain
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

from deployments.errors import RefNotFound, RepositoryUnreachable, SubpathNotFound
from deployments.git.repository import ReleaseRepository

REVISION = b"revision = '1'\n"


def stored(repo: Repo, made: ShaFile) -> ObjectID:
    repo.object_store.add_object(made)
    return made.id


def tree(repo: Repo, **entries: tuple[int, ObjectID]) -> tuple[int, ObjectID]:
    made = Tree()
    for name, (mode, sha) in entries.items():
        made.add(name.encode(), mode, sha)
    return stat.S_IFDIR, stored(repo, made)


def file(repo: Repo, content: bytes = REVISION) -> tuple[int, ObjectID]:
    return stat.S_IFREG | 0o644, stored(repo, Blob.from_string(content))


def commit(repo: Repo, root: tuple[int, ObjectID], message: str) -> ObjectID:
    made = Commit()
    made.tree = root[1]
    made.author = made.committer = b"A Developer <dev@example.com>"
    made.author_time = made.commit_time = 1_760_000_000
    made.author_timezone = made.commit_timezone = 0
    made.message = message.encode()
    return stored(repo, made)


@pytest.fixture
def git(tmp_path: Path) -> Path:
    """A bare repository: branch v1 with one revision, branch v2 and the annotated tag 2.0 with two, a tag 1.0."""
    folder = tmp_path / "app.git"
    with Repo.init_bare(str(folder), mkdir=True) as repo:
        first = tree(repo, migrations=tree(repo, versions=tree(repo, a=file(repo), extra=tree(repo, c=file(repo)))))
        second = tree(repo, migrations=tree(repo, versions=tree(repo, a=file(repo), b=file(repo, b"two"))))
        one = commit(repo, first, "Begin\n\nat the beginning")
        two = commit(repo, second, "Go on")
        repo.refs[b"refs/heads/v1"] = one  # pyright: ignore[reportArgumentType]
        repo.refs[b"refs/heads/v2"] = two  # pyright: ignore[reportArgumentType]
        repo.refs[b"refs/tags/1.0"] = one  # pyright: ignore[reportArgumentType]
        porcelain.tag_create(
            repo, b"2.0", author=b"A Developer <dev@example.com>", message=b"two", annotated=True, objectish=two
        )
    return folder


def release_repository(git: Path, tmp_path: Path) -> ReleaseRepository:
    return ReleaseRepository(str(git), tmp_path / "cache")


@pytest.fixture
def repository(git: Path, tmp_path: Path) -> ReleaseRepository:
    return release_repository(git, tmp_path)


def test_a_branch_a_tag_and_an_annotated_tag_name_their_commits(repository: ReleaseRepository) -> None:
    v1, v2 = repository.resolve("v1"), repository.resolve("v2")
    assert (v1.ref, v1.summary) == ("v1", "Begin")
    assert repository.resolve("1.0").sha == v1.sha
    assert repository.resolve("2.0").sha == v2.sha != v1.sha
    assert repository.resolve("refs/heads/v2").sha == v2.sha


@pytest.mark.parametrize("name", ["fix/a+b", "fix-#12", "release@2.0", "#12", "a=b,c", "v2.0-rc.1+build_7"])
def test_a_ref_may_have_the_signs_that_people_use(git: Path, repository: ReleaseRepository, name: str) -> None:
    with Repo(str(git)) as repo:
        repo.refs[Ref(b"refs/heads/" + name.encode())] = repo.refs[Ref(b"refs/heads/v1")]
    # What this module imports, each process imports that a test here starts.
    from tasks.values import ReleaseRequest

    asked = ReleaseRequest(ref=name)
    assert repository.resolve(asked.ref).sha == repository.resolve("v1").sha


@pytest.mark.parametrize("length", [7, 12, 40])
def test_a_sha_may_be_shortened(repository: ReleaseRepository, length: int) -> None:
    sha = repository.resolve("v1").sha
    assert repository.resolve(sha[:length]).sha == sha


@pytest.mark.parametrize("ref", ["abc123", "0" * 40, "HEAD", "v1^{tree}", "../../etc", ""])
def test_a_ref_that_is_not_there_is_told(repository: ReleaseRepository, ref: str) -> None:
    with pytest.raises(RefNotFound, match="has no branch, tag or commit"):
        repository.resolve(ref)


def test_a_sha_of_what_is_no_commit_is_told(repository: ReleaseRepository, git: Path) -> None:
    with Repo(str(git)) as repo:
        blob = Blob.from_string(REVISION).id
        assert blob in repo.object_store
    for length in (10, 40):
        with pytest.raises(RefNotFound):
            repository.resolve(blob.decode()[:length])


def test_refs_near_a_wrong_one_are_told(repository: ReleaseRepository) -> None:
    with pytest.raises(RefNotFound, match=r"no branch, tag or commit v3; near ones: v") as caught:
        repository.resolve("v3")
    assert set(caught.value.near) == {"v1", "v2"}


def test_the_files_of_a_commit_are_written_and_replace_what_was_there(
    repository: ReleaseRepository, tmp_path: Path
) -> None:
    into = tmp_path / "out" / "versions"
    repository.extract(repository.resolve("v2").sha, "migrations/versions", into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == {"a": REVISION, "b": b"two"}
    assert repository.extract(repository.resolve("v1").sha, "migrations/versions", into) == into
    assert sorted(str(path.relative_to(into)) for path in into.rglob("*")) == ["a", "extra", "extra/c"]
    assert [path.name for path in into.parent.iterdir()] == ["versions"]


@pytest.mark.parametrize("subpath", ["migrations/version", "migrations/versions/a", "..", "nothing"])
def test_a_folder_that_the_commit_lacks_is_told_with_what_to_set(
    repository: ReleaseRepository, tmp_path: Path, subpath: str
) -> None:
    sha = repository.resolve("v1").sha
    with pytest.raises(SubpathNotFound, match=rf"commit {sha[:12]} .*PILOTAGE_RELEASE_REVISIONS_PATH"):
        repository.extract(sha, subpath, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_commit_that_is_not_there_is_told(repository: ReleaseRepository, tmp_path: Path) -> None:
    with pytest.raises(RefNotFound):
        repository.extract("0" * 40, "migrations", tmp_path / "out")


def test_links_and_submodules_are_passed_over_so_that_nothing_leaves_the_folder(
    git: Path, repository: ReleaseRepository, tmp_path: Path
) -> None:
    with Repo(str(git)) as repo:
        link = stat.S_IFLNK, stored(repo, Blob.from_string(b"/etc"))
        outside = {"..": file(repo, b"outside"), "../up": file(repo, b"outside"), ".": file(repo, b"outside")}
        versions = tree(repo, a=file(repo), link=link, module=(0o160000, ObjectID(b"1" * 40)), **outside)
        repo.refs[b"refs/heads/sly"] = commit(repo, tree(repo, versions=versions), "Sly")  # pyright: ignore[reportArgumentType]
    into = repository.extract(repository.resolve("sly").sha, "versions", tmp_path / "x" / "out")
    assert [path.name for path in into.iterdir()] == ["a"]
    assert not any(path.is_symlink() for path in (tmp_path / "x").rglob("*"))
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["out"]


def test_what_python_would_run_in_place_of_the_source_is_passed_over(
    git: Path, repository: ReleaseRepository, tmp_path: Path
) -> None:
    with Repo(str(git)) as repo:
        compiled = {
            name: file(repo) for name in ("a.pyc", "b.PYC", "c.so", "d.cpython-311-x86_64-linux-gnu.so", "e.pth")
        }
        cache = tree(repo, **{"a.cpython-311.pyc": file(repo)})
        below = tree(repo, __pycache__=cache, c=file(repo), **compiled)
        versions = tree(repo, **{"a.py": file(repo)}, extra=below, __pycache__=cache, **compiled)
        repo.refs[b"refs/heads/sly"] = commit(repo, tree(repo, versions=versions), "Sly")  # pyright: ignore[reportArgumentType]
    into = repository.extract(repository.resolve("sly").sha, "versions", tmp_path / "out")
    assert sorted(str(path.relative_to(into)) for path in into.rglob("*")) == ["a.py", "extra", "extra/c"]


def test_a_revision_that_was_extracted_runs_from_its_source_and_leaves_no_bytecode(
    git: Path, repository: ReleaseRepository, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("came_from = 'another program'\n")
    lied = py_compile.compile(str(tmp_path / "a.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert lied is not None
    with Repo(str(git)) as repo:
        cache = tree(repo, **{Path(lied).name: file(repo, Path(lied).read_bytes())})
        source = file(repo, b"came_from = 'the source'\n")
        root = tree(repo, versions=tree(repo, __pycache__=cache, **{"a.py": source}))
        repo.refs[b"refs/heads/sly"] = commit(repo, root, "Sly")  # pyright: ignore[reportArgumentType]
    into = tmp_path / "out"
    # As an earlier version wrote it, which took everything from the commit.
    (into / "__pycache__").mkdir(parents=True)
    shutil.copy(lied, into / "__pycache__")
    repository.extract(repository.resolve("sly").sha, "versions", into)
    spec = importlib.util.spec_from_file_location("a", into / "a.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.came_from == "the source"
    assert [path.name for path in into.iterdir()] == ["a.py"]


def test_a_folder_that_is_there_is_not_touched(repository: ReleaseRepository, tmp_path: Path) -> None:
    into, sha = tmp_path / "out", repository.resolve("v1").sha
    repository.extract(sha, "migrations", into)
    before = {path: path.stat() for path in [into, *into.rglob("*")]}
    repository.extract(sha, "migrations", into)
    assert {path: path.stat() for path in [into, *into.rglob("*")]} == before


def test_a_folder_that_is_incomplete_or_was_changed_is_mended(
    repository: ReleaseRepository, git: Path, tmp_path: Path
) -> None:
    into, sha = tmp_path / "out", repository.resolve("v1").sha
    repository.extract(sha, "migrations/versions", into)
    (into / "a").write_bytes(b"another")
    shutil.rmtree(into / "extra")
    (into / "extra").symlink_to(git)
    (into / "more").mkdir()
    (into / "more" / "b").write_bytes(REVISION)
    repository.extract(sha, "migrations/versions", into)
    found = {str(path.relative_to(into)): path for path in into.rglob("*")}
    assert sorted(found) == ["a", "extra", "extra/c"]
    assert not any(path.is_symlink() for path in found.values())
    assert found["a"].read_bytes() == found["extra/c"].read_bytes() == REVISION
    assert (git / "HEAD").is_file()


def many_files(git: Path) -> str:
    with Repo(str(git)) as repo:
        versions = tree(repo, **{f"r{number}.py": file(repo, b"%d" % number) for number in range(40)})
        sha = commit(repo, tree(repo, versions=versions), "Many")
        repo.refs[b"refs/heads/many"] = sha  # pyright: ignore[reportArgumentType]
    return sha.decode()


def extract_again_and_again(url: str, cache: str, sha: str, into: str, times: int) -> list[int]:
    """How many complete files a reader finds each time; run in threads and processes."""
    repository = ReleaseRepository(url, Path(cache))
    found: list[int] = []
    for _ in range(times):
        assert repository.resolve("many").sha == sha
        folder = repository.extract(sha, "versions", Path(into))
        found.append(sum((folder / f"r{number}.py").read_bytes() == b"%d" % number for number in range(40)))
    return found


def processes(number: int) -> Executor:
    return ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("several", [ThreadPoolExecutor, processes])
@pytest.mark.parametrize("incomplete", [False, True])
def test_who_extracts_a_commit_beside_others_finds_it_whole(
    git: Path, tmp_path: Path, several: Callable[[int], Executor], incomplete: bool
) -> None:
    sha, into = many_files(git), tmp_path / "revisions" / "out"
    if incomplete:
        (into / "__pycache__").mkdir(parents=True)
        (into / "r7.py").write_bytes(b"")
    with several(4) as pool:
        arguments = (str(git), str(tmp_path / "cache"), sha, str(into), 15)
        running = [pool.submit(extract_again_and_again, *arguments) for _ in range(4)]
        found = [count for one in running for count in one.result()]
    assert found == [40] * 60
    assert [path.name for path in into.parent.iterdir()] == ["out"]
    assert sorted(path.name for path in into.iterdir()) == sorted(f"r{number}.py" for number in range(40))


def test_a_failed_extract_leaves_nothing(git: Path, repository: ReleaseRepository, tmp_path: Path) -> None:
    with Repo(str(git)) as repo:
        both = tree(repo, **{"x" * 300: file(repo), "a": file(repo)})
        sha = commit(repo, tree(repo, versions=both), "A name that no file system holds")
    blocked = tmp_path / "plain"
    blocked.write_text("a file where a folder is wanted")
    with pytest.raises(RepositoryUnreachable, match="cannot be written"):
        repository.extract(sha.decode(), "versions", blocked / "out")
    with pytest.raises(SubpathNotFound):
        repository.extract(sha.decode(), "nothing", tmp_path / "revisions" / "out")
    assert not (tmp_path / "revisions").exists()
    with pytest.raises(RepositoryUnreachable, match="cannot be written"):
        repository.extract(sha.decode(), "versions", tmp_path / "revisions" / "out")
    assert list((tmp_path / "revisions").iterdir()) == []


@pytest.mark.parametrize("content", [None, "a plain file", "folder"])
def test_what_is_no_repository_is_told(tmp_path: Path, content: str | None) -> None:
    place = tmp_path / "place"
    if content == "folder":
        place.mkdir()
    elif content:
        place.write_text(content)
    with pytest.raises(RepositoryUnreachable, match=r"place cannot be read .*check RELEASE_REPOSITORY") as caught:
        release_repository(place, tmp_path).resolve("v1")
    assert caught.value.transient


def test_a_remote_that_does_not_answer_is_told(tmp_path: Path) -> None:
    repository = ReleaseRepository("http://127.0.0.1:1/app.git", tmp_path / "cache")
    with pytest.raises(RepositoryUnreachable, match=r"http://127\.0\.0\.1:1/app\.git cannot be read"):
        repository.resolve("v1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["https://tok-3e3e@127.0.0.1:1/app.git", "http://user:tok-3e3e@127.0.0.1:1/app.git"])
def test_credentials_of_the_address_are_not_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(RepositoryUnreachable) as caught:
        ReleaseRepository(url, tmp_path / "cache").resolve("v1")
    assert "127.0.0.1:1/app.git" in str(caught.value)
    assert "tok-3e3e" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def remote(git: Path) -> Iterator[str]:
    """The repository behind an address."""
    repo = Repo(str(git))
    application: Any = make_wsgi_chain(DictBackend({b"/": repo}))
    with repo, make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def test_several_who_follow_a_remote_find_its_branches(remote: str, git: Path, tmp_path: Path) -> None:
    sha = many_files(git)
    cache = tmp_path / "cache" / "repository"

    def follow(reader: int) -> list[str]:
        repository = ReleaseRepository(remote, cache)
        found: list[str] = []
        for number in range(6):
            if reader == 0:
                with Repo(str(git)) as repo:
                    repo.refs[Ref(b"refs/heads/n%d" % number)] = ObjectID(sha.encode())
                    repo.refs.remove_if_equals(Ref(b"refs/heads/n%d" % (number - 1)), None)
            found.append(repository.resolve("many").sha)
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(follow, range(4))) == [[sha] * 6] * 4
    assert [path.name for path in cache.parent.iterdir()] == ["repository"]


def test_a_remote_that_sends_nothing_more_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.git.addresses.ANSWER_S", b"0.2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/app.git"
        with pytest.raises(RepositoryUnreachable, match="cannot be read"):
            ReleaseRepository(address, tmp_path / "cache").resolve("v1")
        with pytest.raises(RepositoryUnreachable, match="cannot be read"):
            ReleaseRepository(address, tmp_path / "cache").refs()


def test_the_names_of_a_repository_are_asked_for_without_a_copy(remote: str, git: Path, tmp_path: Path) -> None:
    cache = tmp_path / "elsewhere" / "cache"
    over_the_network = ReleaseRepository(remote, cache).refs()
    assert over_the_network == ReleaseRepository(str(git), cache).refs()
    assert {"v1"} <= set(over_the_network)
    assert not cache.parent.exists()


def test_a_remote_is_copied_and_followed(remote: str, git: Path, tmp_path: Path) -> None:
    repository = ReleaseRepository(remote, tmp_path / "cache" / "repository")
    first = repository.resolve("v1")
    assert first.summary == "Begin"
    assert repository.resolve("2.0").summary == repository.resolve("v2").summary == "Go on"
    with Repo(str(git)) as repo:
        repo.refs[b"refs/heads/v1"] = repo.refs[b"refs/heads/v2"]  # pyright: ignore[reportArgumentType]
        del repo.refs[b"refs/heads/v2"]  # pyright: ignore[reportArgumentType]
    assert repository.resolve("v1").summary == "Go on"
    with pytest.raises(RefNotFound):
        repository.resolve("v2")
    into = repository.extract(first.sha, "migrations/versions", tmp_path / "out")
    assert sorted(path.name for path in into.iterdir()) == ["a", "extra"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["repository"]


def test_a_commit_that_another_worker_resolved_is_fetched_before_it_is_extracted(
    remote: str, git: Path, tmp_path: Path
) -> None:
    mine, others = (ReleaseRepository(remote, tmp_path / name) for name in ("mine", "others"))
    mine.resolve("v1")
    with Repo(str(git)) as repo:
        newest = commit(repo, tree(repo, migrations=tree(repo, new=file(repo, b"newest"))), "Newest")
        repo.refs[b"refs/heads/v3"] = newest  # pyright: ignore[reportArgumentType]
    into = mine.extract(others.resolve("v3").sha, "migrations", tmp_path / "out")
    assert (into / "new").read_bytes() == b"newest"


def test_a_file_address_is_read_in_place(git: Path, tmp_path: Path, repository: ReleaseRepository) -> None:
    assert ReleaseRepository(f"file://{git}", tmp_path / "c").resolve("v1").sha == repository.resolve("v1").sha
    assert not (tmp_path / "c").exists()


def test_a_repository_that_goes_away_between_two_calls_is_told(
    git: Path, repository: ReleaseRepository, tmp_path: Path
) -> None:
    sha = repository.resolve("v1").sha
    shutil.rmtree(git)
    with pytest.raises(RepositoryUnreachable):
        repository.extract(sha, "migrations", tmp_path / "out")
