from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.repo import Repo

from deployments.git.tracked_secrets import no_secrets_tracked


class Tree:
    """A working tree whose files are added to git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        Repo.init(str(root), mkdir=True).close()

    def add(self, name: str, content: str | bytes = "") -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        porcelain.add(str(self.root), [str(file)])


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "app")


SECRET = "k3yb0ard"


def string(password: str = SECRET, host: str = "ep-cool-1.eu.neon.tech", scheme: str = "postgresql") -> str:
    return f"{scheme}://app:{password}@{host}/shop"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "POSTGRESQL"])
def test_a_connection_string_with_a_password_is_told_by_its_place_alone(tree: Tree, scheme: str) -> None:
    tree.add("src/db.ts", f'// the database\nconst url = "{string(scheme=scheme)}";\n')
    seen = no_secrets_tracked(tree.root / "src")
    assert seen.holds is False
    assert "src/db.ts:2 holds a connection string with a password" in seen.detail
    assert "k3yb0ard" not in seen.detail


@pytest.mark.parametrize("name", [".env", "app/.env", ".env.production", ".env.local"])
def test_a_file_with_settings_is_told(tree: Tree, name: str) -> None:
    tree.add(name)
    seen = no_secrets_tracked(tree.root)
    assert (seen.holds, f"{name} is kept in git" in seen.detail) == (False, True)


def test_a_file_that_git_does_not_keep_is_nobody_s_business(tree: Tree) -> None:
    tree.add("README.md", "hello")
    (tree.root / ".env").write_text(f"DATABASE_URL={string()}\n")
    seen = no_secrets_tracked(tree.root)
    assert (seen.holds, seen.detail.startswith("1 files in git")) == (True, True)


@pytest.mark.parametrize(
    "line",
    [
        string("<password>"),
        string("changeme"),
        string("password"),
        string("$PGPASSWORD"),
        string("${PGPASSWORD}"),
        string("{password}"),
        string("****"),
        string(host="127.0.0.1:5432"),
        string(host="localhost"),
        string(host="db"),
        string(host="db.example.com"),
        string(host="db.example"),
        string(host="{host}"),
        "postgresql://app@ep-cool-1.eu.neon.tech/shop",
        "https://app:k3yb0ard@api.neon.tech/v2",
        f"{string()}  # pragma: allowlist secret",
    ],
)
def test_what_is_no_secret_is_left_alone(tree: Tree, line: str) -> None:
    tree.add("docs/settings.md", line)
    tree.add(".env.example", line)
    assert no_secrets_tracked(tree.root).holds is True


def test_many_findings_are_counted(tree: Tree) -> None:
    tree.add("dsns.txt", "\n".join(string(f"k3yb0ard{n}") for n in range(12)))
    assert "and 7 more" in no_secrets_tracked(tree.root).detail


def test_what_is_no_text_or_is_gone_is_passed_over(tree: Tree) -> None:
    tree.add("image.png", b"\x89PNG\0" + string().encode())
    tree.add("gone.txt", string())
    (tree.root / "gone.txt").unlink()
    assert no_secrets_tracked(tree.root).holds is True


def test_a_folder_outside_of_git_cannot_be_told(tmp_path: Path) -> None:
    seen = no_secrets_tracked(tmp_path)
    assert (seen.holds, "--repository" in seen.detail) == (None, True)


def test_a_repository_that_cannot_be_read_cannot_be_told(tree: Tree) -> None:
    tree.add("README.md")
    (tree.root / ".git" / "index").write_bytes(b"damaged")
    assert no_secrets_tracked(tree.root).holds is None


def test_this_repository_keeps_no_secret() -> None:
    seen = no_secrets_tracked(Path(__file__).parent)
    # A copy without git, such as an archive, has nothing to look through.
    assert seen.holds is not False, seen.detail
