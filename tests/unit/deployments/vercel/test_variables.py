"""Variables of a Vercel that answers as the real one does, and of one that somebody changes meanwhile."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deployments.errors import LostReply, ServiceRefused, SharedVariable, VariableNotSet
from deployments.vercel.client import VercelClient

Json = dict[str, Any]
KEY = "DATABASE_URL_POOLED"
VALUE = "postgresql://a:pw-11ff@h/d"
CONFLICT = {"error": {"code": "ENV_CONFLICT", "message": f"Another variable exists for {VALUE}"}}


def variable(*target: str, **changed: object) -> Json:
    return {"id": "env_1", "key": KEY, "type": "encrypted", "target": list(target), "value": "old", **changed}


class Vercel:
    """A project's variables, and what was asked of them."""

    def __init__(self, *there: Json) -> None:
        self.there = list(there)
        self.asked: list[str] = []
        self.written: list[Json] = []
        self.answers: list[Callable[[], httpx.Response]] = []

    def client(self) -> VercelClient:
        transport = httpx.MockTransport(self.answer)
        return VercelClient("http://vercel.test", SecretStr("tok-66bb"), "team_1", "prj_1", transport=transport)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        assert request.url.path == "/v10/projects/prj_1/env"
        if request.method == "GET":
            return httpx.Response(200, json={"envs": self.there})
        body = json.loads(request.content)
        assert request.url.params["upsert"] == "true"
        self.written.append(body)
        if self.answers:
            return self.answers.pop(0)()
        self.keep(body)
        return httpx.Response(201, json={"created": body, "failed": []})

    def keep(self, body: Json) -> None:
        others = [one for one in self.there if set(one["target"]) != set(body["target"]) or one.get("gitBranch")]
        self.there = [*others, {"id": "env_2", **body}]

    def set(self, target: str = "production", git_ref: str | None = "v2") -> None:
        assert target in {"production", "preview"}
        name = "production" if target == "production" else "preview"
        self.client().set_environment(KEY, SecretStr(VALUE), target=name, git_ref=git_ref)


def test_a_new_variable_is_sensitive_and_for_one_target() -> None:
    vercel = Vercel()
    vercel.set("preview")
    assert vercel.written == [{"key": KEY, "value": VALUE, "type": "sensitive", "target": ["preview"]}]
    assert vercel.asked == ["GET", "POST", "GET"]


@pytest.mark.parametrize("kind", ["encrypted", "sensitive", "plain"])
def test_a_variable_that_is_there_keeps_its_type(kind: str) -> None:
    vercel = Vercel(variable("production", type=kind), variable("preview", id="env_9"))
    vercel.set()
    assert vercel.written == [{"key": KEY, "value": VALUE, "type": kind, "target": ["production"]}]


@pytest.mark.parametrize("shown", [{"target": "production"}, {"customEnvironmentIds": []}, {"gitBranch": None}])
def test_a_variable_is_read_however_vercel_shows_it(shown: Json) -> None:
    vercel = Vercel(variable("production", **shown))
    vercel.set()
    assert vercel.written[0]["type"] == "encrypted"


@pytest.mark.parametrize(
    ("there", "others"),
    [
        (variable("production", "preview", "development"), "preview, development"),
        (variable("preview", "production"), "preview"),
        (variable("production", customEnvironmentIds=["env_qa"]), "the environment env_qa"),
    ],
)
def test_a_variable_of_several_targets_is_refused_and_not_written(there: Json, others: str) -> None:
    vercel = Vercel(there)
    with pytest.raises(SharedVariable) as caught:
        vercel.set()
    assert vercel.written == []
    assert str(caught.value) == (
        f"Vercel's variable {KEY} of project prj_1 (env_1) serves production and {others} at once: the database of"
        f" production would reach {others} as well, and it is not written. In the project's settings, under Environment"
        f" Variables, edit it and untick production: {others} keep{'' if ',' in others else 's'} the value, and the"
        " next release makes a variable for production alone. `vercel env rm` would remove it everywhere"
    )


def test_a_preview_of_the_branch_s_own_is_refused_because_it_goes_before() -> None:
    vercel = Vercel(variable("preview", gitBranch="v2"))
    with pytest.raises(SharedVariable, match=f"remove it with `vercel env rm {KEY} preview v2`"):
        vercel.set("preview")
    assert vercel.written == []


def test_a_preview_of_another_branch_is_left_alone() -> None:
    vercel = Vercel(variable("preview", gitBranch="elsewhere"))
    vercel.set("preview")
    assert vercel.written[0]["type"] == "sensitive"
    assert [one["target"] for one in vercel.there] == [["preview"], ["preview"]]


@pytest.mark.parametrize("code", ["ENV_CONFLICT", "BAD_REQUEST"])
def test_an_answer_that_lists_the_variable_as_failed_is_a_failure_and_tells_no_value(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vercel = Vercel()
    failed = {"error": {**CONFLICT["error"], "code": code, "value": VALUE}}
    vercel.answers = [lambda: httpx.Response(201, json={"created": [], "failed": [failed]})] * 3
    with pytest.raises(ServiceRefused) as caught:
        vercel.set()
    assert str(caught.value) == (
        "Vercel: POST /v10/projects/prj_1/env: answered 201, but lists DATABASE_URL_POOLED for production as not made"
        f" ({code})"
    )
    assert "pw-11ff" not in caplog.text
    assert len(vercel.written) == (3 if code == "ENV_CONFLICT" else 1)


@pytest.mark.parametrize("status", [201, 400])
def test_a_variable_that_somebody_made_meanwhile_is_read_again_and_refused(status: int) -> None:
    vercel = Vercel()

    def conflict() -> httpx.Response:
        vercel.there.append(variable("production", "preview"))
        return httpx.Response(status, json=CONFLICT if status == 400 else {"created": [], "failed": [CONFLICT]})

    vercel.answers = [conflict]
    with pytest.raises(SharedVariable, match="would reach preview as well, and it is not written"):
        vercel.set()
    assert len(vercel.written) == 1


def test_a_service_that_overwrites_a_variable_for_all_its_targets_is_noticed() -> None:
    vercel = Vercel()

    def written_for_all() -> httpx.Response:
        vercel.there.append(variable("production", "preview"))
        return httpx.Response(201, json={"created": {}, "failed": []})

    vercel.answers = [written_for_all]
    with pytest.raises(SharedVariable, match=r"of production was written for it alone, and reaches preview\. In"):
        vercel.set()


def test_a_variable_that_is_not_there_after_it_was_written_is_told() -> None:
    vercel = Vercel()
    vercel.answers = [lambda: httpx.Response(201, json={"created": {}, "failed": []})]
    with pytest.raises(VariableNotSet, match=f"shows no variable {KEY} for production, though it was written"):
        vercel.set()


@pytest.mark.parametrize("arrived", [True, False])
def test_a_variable_is_written_again_where_its_reply_was_lost(arrived: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vercel = Vercel()

    def lose() -> httpx.Response:
        if arrived:
            vercel.keep(vercel.written[-1])
        raise httpx.ReadError("cut")

    vercel.answers = [lose]
    vercel.set()
    assert [one["type"] for one in vercel.written] == ["sensitive", "sensitive"]
    assert len(vercel.there) == 1
    assert "pw-11ff" not in caplog.text


def test_a_service_that_loses_every_reply_is_given_up() -> None:
    vercel = Vercel()

    def lose() -> httpx.Response:
        raise httpx.ReadError("cut")

    vercel.answers = [lose] * 9
    with pytest.raises(LostReply):
        vercel.set()
    assert len(vercel.written) == 3
