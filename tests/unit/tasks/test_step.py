"""What a step or a flow says is without secrets, by whichever of its ways out."""

import io
import sys

import pytest

from tasks.step import without_secrets


@without_secrets
def printing() -> None:
    sys.stdout.write("at postgresql://owner:InAPrint77@127.0.0.1/db InAPrint77\n")
    sys.stderr.write("[SQL: ALTER ROLE app PASSWORD 'OfAForm88']\n")
    raise ValueError("InAPrint77")


def test_what_a_revision_prints_on_a_worker_is_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEON_API_KEY", "InAPrint77")
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(ValueError, match=r"^\*\*\*$"):
        printing()
    assert out.getvalue() == "at postgresql://***@127.0.0.1/db ***\n"
    assert err.getvalue() == "[SQL: ALTER ROLE app PASSWORD '***']\n"


def test_a_process_without_a_console_runs_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert without_secrets(lambda: 7)() == 7
