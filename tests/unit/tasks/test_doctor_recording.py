"""What is recorded of an answer is its shape: nothing that somebody has named, counted or kept secret."""

import json
from typing import Any

import httpx
import pytest

from tasks.doctor.recording import Recorder, merged, path_shape, shape


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"id": "br-1", "count": 3, "ratio": 0.5, "on": True, "gone": None}, "string integer number boolean null"),
        ({"created_at": "2026-11-28T15:00:00Z", "day": "2026-11-28"}, "moment string"),
    ],
)
def test_values_become_types(value: dict[str, Any], found: str) -> None:
    assert shape(value) == dict(zip(value, found.split(), strict=True))


def test_elements_of_a_list_become_one() -> None:
    listed = [{"id": "a", "parent": "b"}, {"id": "c", "size": 1}, {"id": 7, "size": 2}]
    assert shape(listed) == [{"id": {"one of": ["integer", "string"]}, "parent?": "string", "size?": "integer"}]
    assert shape([]) == ["nothing"]
    assert shape({"at": [[1], ["a"]]}) == {"at": [[{"one of": ["integer", "string"]}]]}


def test_merging_is_the_same_in_any_order_and_when_repeated() -> None:
    shapes = [shape(one) for one in ({"a": 1}, {"a": None, "b": "x"}, {"b": {"c": True}}, "text")]
    first = merged(merged(merged(shapes[0], shapes[1]), shapes[2]), shapes[3])
    assert merged(first, first) == first
    assert merged(shapes[0], shapes[0]) == shapes[0]
    assert merged(shapes[1], shapes[0]) == {"a": {"one of": ["integer", "null"]}, "b?": "string"}


@pytest.mark.parametrize(
    "key", ["Qm9bZ2x1a8f3c7d5e9Qm9bZ2x1a8f3c7d5e9", "br-grove-brook-pnpivic8", "ana@example.com", "x" * 41, "a b"]
)
def test_keys_that_are_no_words_of_an_api_are_left_out(key: str) -> None:
    assert shape({key: 1}) == {"*": "integer"}


@pytest.mark.parametrize("name", ["protectionBypass", "annotations", "applications"])
def test_keys_of_maps_by_name_are_left_out(name: str) -> None:
    assert shape({name: {"secretword": {"scope": "x"}, "other": {"createdAt": 1}}}) == {
        name: {"*": {"scope?": "string", "createdAt?": "integer"}}
    }


def test_what_a_team_keeps_is_told_by_its_type_alone() -> None:
    assert shape([{"key": "flags", "value": {"darkMode": True}}]) == [{"key": "string", "value": "object"}]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v2/projects/late-frost-12345/branches/br-a-b-c", "/api/v2/projects/*/branches/*"),
        ("/v9/projects/prj_letters", "/v9/projects/*"),
        ("/v5/user/tokens/current", "/v5/user/tokens/current"),
        ("/v1/edge-config/ecfg_x/items", "/v1/edge-config/*/items"),
    ],
)
def test_names_in_paths_are_left_out(path: str, shown: str) -> None:
    assert path_shape(path) == shown


def answer(text: str, status: int = 200) -> httpx.Response:
    request = httpx.Request("GET", "https://vercel.test/v9/projects/prj_secret?teamId=team_secret")
    return httpx.Response(status, text=text, headers={"X-RateLimit-Reset": "1711152000"}, request=request)


def test_calls_that_are_answered_alike_are_merged_and_others_kept_apart() -> None:
    recorder = Recorder()
    recorder.note("Vercel", answer('{"name": "shop-secret", "live": true}'))
    recorder.note("Vercel", answer('{"name": null}'))
    recorder.note("Vercel", answer('{"error": {"code": "forbidden"}}', 403))
    recorder.note("Vercel", answer("<html>secret</html>", 502))
    document = recorder.document()
    assert "secret" not in document
    assert "1711152000" not in document
    first, refused, gateway = json.loads(document)["calls"]
    assert (first["path"], first["query"], first["status"]) == ("/v9/projects/*", ["teamId"], 200)
    assert "x-ratelimit-reset" in first["headers"]
    assert first["body"] == {"name": {"one of": ["null", "string"]}, "live?": "boolean"}
    assert refused["body"] == {"error": {"code": "string"}}
    assert gateway["body"] == "no JSON"
