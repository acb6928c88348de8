"""The shapes of the answers that services give: keys and types, and no value."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import JsonValue

from deployments.redaction.redactor import redacted

# Maps of Neon and Vercel whose keys are names and secrets of somebody, not of the API.
_KEYED_BY_VALUES = {"protectionBypass", "annotations", "annotation_value", "applications", "integrations"}
# What a team keeps there is its own, keys and all.
_THEIR_OWN = "value"
_OF_AN_API = re.compile(r"[A-Za-z_$]{1,40}\d{0,2}")
_HEADER = re.compile(r"[A-Za-z-]{1,40}")
_VERSION = re.compile(r"v\d+")
_WORDS = frozenset(
    (
        "api",
        "auth",
        "branches",
        "connection_uri",
        "current",
        "deployments",
        "edge-config",
        "endpoints",
        "env",
        "events",
        "items",
        "operations",
        "projects",
        "promote",
        "restore",
        "rollback",
        "runtime-logs",
        "snapshot",
        "snapshots",
        "teams",
        "tokens",
        "user",
    )
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Recorder:
    """Keeps the shapes of all answers, each kind of call once; calls that are answered alike are merged."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str, str, int], dict[str, JsonValue]] = {}

    def note(self, service: str, answer: httpx.Response) -> None:
        """Keep the shape of an answer.

        Args:
            service: whose answer it is.
            answer: the answer, with its request.
        """
        request = answer.request
        path = path_shape(request.url.path)
        key = (service, request.method, path, answer.status_code)
        body = _body_shape(answer)
        known = self._calls.get(key)
        kept: dict[str, JsonValue] = {
            "service": service,
            "method": request.method,
            "path": path,
            "query": [*sorted(set(request.url.params.keys()))],
            "status": answer.status_code,
            "headers": sorted({name.lower() for name in answer.headers if _HEADER.fullmatch(name)}),
            "body": body if known is None else merged(known["body"], body),
        }
        self._calls[key] = kept

    def document(self) -> str:
        """Everything that was kept, as JSON."""
        every = [self._calls[key] for key in sorted(self._calls)]
        return json.dumps({"format": 1, "calls": every}, indent=2) + "\n"


def path_shape(path: str) -> str:
    """A path with `*` for each part that is no word of the API."""
    return "/".join(part if not part or part in _WORDS or _VERSION.fullmatch(part) else "*" for part in path.split("/"))


def shape(value: Any, key: str = "") -> JsonValue:
    """The shape of a JSON value: an object by its keys, a list by one merged element, anything else by its type.

    Args:
        value: the value.
        key: the key that it stands under.
    """
    if isinstance(value, Mapping) and key == _THEIR_OWN:
        return "object"
    if isinstance(value, Mapping):
        return _object_shape(value, by_values=key in _KEYED_BY_VALUES)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        found: JsonValue = "nothing"
        for one in value:  # pyright: ignore[reportUnknownVariableType]
            found = merged(found, shape(one))
        return [found]
    return _type_of(value)


def _object_shape(value: Mapping[str, Any], *, by_values: bool) -> JsonValue:
    made: dict[str, JsonValue] = {}
    for name, one in value.items():
        is_told = not by_values and _OF_AN_API.fullmatch(name) is not None and redacted(name) == name
        kept = name if is_told else "*"
        found = shape(one, name)
        made[kept] = merged(made[kept], found) if kept in made else found
    return made


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "moment" if _MOMENT.match(str(value)) else "string"


def merged(one: JsonValue, other: JsonValue) -> JsonValue:
    """One shape for two values of the same place; keys that only one has are marked with `?`."""
    if one == other or other == "nothing":
        return one
    if one == "nothing":
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return _merged_objects(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return [merged(one[0], other[0])]
    alternatives = [*_alternatives(one)]
    alternatives += [each for each in _alternatives(other) if each not in alternatives]
    return {"one of": sorted(alternatives, key=str)}


def _merged_objects(one: dict[str, JsonValue], other: dict[str, JsonValue]) -> JsonValue:
    if one.keys() == {"one of"} or other.keys() == {"one of"}:
        every = [*_alternatives(one)]
        return {"one of": sorted([*every, *(x for x in _alternatives(other) if x not in every)], key=str)}
    mine = {name.removesuffix("?"): (name, found) for name, found in one.items()}
    theirs = {name.removesuffix("?"): (name, found) for name, found in other.items()}
    made: dict[str, JsonValue] = {}
    for name in [*mine, *(each for each in theirs if each not in mine)]:
        if name in mine and name in theirs:
            always = mine[name][0] == name == theirs[name][0]
            made[name if always else f"{name}?"] = merged(mine[name][1], theirs[name][1])
        else:
            made[f"{name}?"] = (mine.get(name) or theirs[name])[1]
    return made


def _alternatives(found: JsonValue) -> list[JsonValue]:
    if isinstance(found, dict) and found.keys() == {"one of"} and isinstance(found["one of"], list):
        return found["one of"]
    return [found]


def _body_shape(answer: httpx.Response) -> JsonValue:
    if not answer.content:
        return "nothing"
    try:
        return shape(answer.json())
    except ValueError:
        return "no JSON"
