import json
from pathlib import Path

import pytest

from deployments.errors import SettingsError
from deployments.settings import Settings, load_settings, variable

COMPLETE = {
    "NEON_API_URL": "http://127.0.0.1:4001/api/v2",
    "NEON_API_KEY": "napi-b2f9",
    "NEON_PROJECT_ID": "quiet-harbor-12345678",
    "NEON_DATABASE": "my_app",
    "NEON_OWNER_ROLE": "my_app_owner",
    "NEON_APP_ROLE": "my_app_user",
    "VERCEL_API_URL": "http://127.0.0.1:4002",
    "VERCEL_TOKEN": "vtok-77aa",
    "VERCEL_TEAM_ID": "team_1",
    "VERCEL_PROJECT_ID": "prj_1",
    "VERCEL_CONFIG_ID": "ecfg_1",
    "VERCEL_AUTOMATION_BYPASS_SECRET": "bypass-55cc",
    "RELEASE_REPOSITORY": "git/app.git",
    "PRODUCTION_URL": "https://app.example.com",
    "SLACK_WEBHOOK_URL": "http://127.0.0.1:4003/services/T1/B1/sec-99ee",
}


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without `.env`, and an environment without any setting."""
    monkeypatch.chdir(tmp_path)
    for name in [*map(variable, Settings.model_fields), "PILOTAGE_ENV_FILE"]:
        monkeypatch.delenv(name, raising=False)


def given(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in {**COMPLETE, **changed}.items():
        monkeypatch.setenv(name, value)


def test_a_complete_environment_is_read_with_the_defaults_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch)
    settings = load_settings()
    assert settings.neon_production_branch == "main"
    assert settings.app_database_url is None
    assert settings.target == "quiet-harbor-12345678/prj_1"


def test_a_target_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PILOTAGE_TARGET="shop")
    assert load_settings().target == "shop"


def test_every_required_variable_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sorted(caught.value.problems) == sorted(f"{name} is missing" for name in COMPLETE)
    assert "pilotage local up" in str(caught.value)


def test_an_empty_variable_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, NEON_API_KEY="", APP_DATABASE_URL="")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.problems == ("NEON_API_KEY is missing",)


@pytest.mark.parametrize(
    "placeholder", ["<your-neon-api-key>", "changeme", "your_key_here", "xxxx", "...", "ep-xxx.neon.tech", "TODO"]
)
def test_a_placeholder_is_refused_together_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, placeholder: str
) -> None:
    given(monkeypatch, NEON_API_KEY=placeholder, RELEASE_REPOSITORY="https://github.com/<your-org>/app")
    monkeypatch.delenv("VERCEL_TOKEN")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sorted(caught.value.problems) == [
        "NEON_API_KEY still holds a placeholder",
        "RELEASE_REPOSITORY still holds a placeholder",
        "VERCEL_TOKEN is missing",
    ]


def test_the_example_file_is_refused_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    example = Path(__file__).resolve().parents[3] / ".env.example"
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(example))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert {problem for problem in caught.value.problems if not problem.endswith("still holds a placeholder")} == set()


def test_malformed_values_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, NEON_API_URL="seekrit://[", PILOTAGE_LEASE_S="soon", PILOTAGE_ERROR_RATE_LIMIT="7.25")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    told = str(caught.value) + repr(caught.value)
    for name in ("NEON_API_URL: ", "PILOTAGE_LEASE_S: ", "PILOTAGE_ERROR_RATE_LIMIT: "):
        assert name in told
    for value in ("seekrit", "soon", "7.25"):
        assert value not in told
    assert caught.value.__cause__ is None


def test_no_secret_is_in_an_error_or_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, LEDGER_URL="postgresql://u:sec-33dd@127.0.0.1/ledger")
    settings = load_settings()
    monkeypatch.delenv("NEON_DATABASE")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    told = repr(settings) + str(settings) + str(caught.value) + repr(caught.value)
    for secret in ("napi-b2f9", "vtok-77aa", "bypass-55cc", "sec-99ee", "sec-33dd"):
        assert secret not in told


def test_the_environment_goes_before_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "local.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in COMPLETE.items()))
    monkeypatch.setenv("PILOTAGE_ENV_FILE", str(file))
    monkeypatch.setenv("NEON_DATABASE", "other")
    settings = load_settings()
    assert (settings.neon_database, settings.neon_owner_role) == ("other", "my_app_owner")


def test_a_dot_env_of_the_folder_is_read_where_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in COMPLETE.items()))
    assert load_settings().neon_database == "my_app"


def test_a_named_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PILOTAGE_ENV_FILE="nowhere.env")
    with pytest.raises(SettingsError, match=r"PILOTAGE_ENV_FILE names nowhere\.env, which is no file"):
        load_settings()


@pytest.mark.parametrize("spoilt", ["tok-{}\n", " tok-{}", "tok-{}\r", "tok {}", "tok-é{}", "tok\n{}"])
@pytest.mark.parametrize(
    "name", ["NEON_API_KEY", "VERCEL_TOKEN", "VERCEL_AUTOMATION_BYPASS_SECRET", "SLACK_WEBHOOK_URL"]
)
def test_a_secret_that_no_header_takes_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, spoilt: str
) -> None:
    given(monkeypatch)
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"{name}={json.dumps(spoilt.format('c4n4ry'), ensure_ascii=False)}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [name]
    assert "c4n4ry" not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize("name", ["LEDGER_URL", "APP_DATABASE_URL", "APP_STAGING_DATABASE_URL"])
@pytest.mark.parametrize("mark", ["/", "@", "#", "?", "%"])
def test_an_address_that_reads_in_two_ways_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, mark: str
) -> None:
    given(monkeypatch, **{name: f"postgresql://owner:c4n{mark}n4ry@127.0.0.1/db"})
    with pytest.raises(SettingsError, match=f"{name}: write it as postgresql://") as caught:
        load_settings()
    assert "c4n" not in str(caught.value)
