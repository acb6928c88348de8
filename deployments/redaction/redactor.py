"""The one place that masks: whatever leaves the process passes it.

A secret is known by its value, in whatever form it is written: encoded, decoded, escaped, stripped, or split over
lines. What is no known value, but has a secret's form, or is a row's value in a message of PostgreSQL, goes as well.
A value of three characters or less, and one that is a word of our own messages, is masked by its form alone, such as
the password of a connection string: by its value it would take ordinary words along.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from pydantic import JsonValue, SecretStr

from deployments.redaction.secret_forms import MASK, addresses, masked_by_form

SHORTEST: Final = 4
# From this length on, a secret is found in a word; and though blanks and line breaks were put into it.
LONG: Final = 8
# A shorter one of small letters alone may be a word as well: it is found where it stands by itself.
LONG_WORD: Final = 16

# Passwords of databases for trying things out: hidden by value, they would make every message unreadable.
_ORDINARY: Final = frozenset(
    re.findall(
        r"\w+",
        "admin application data database default development false head host http https localhost main master"
        " migrations neon none null owner password pilotage port postgres postgresql prefect production public release"
        " releases revision root schema secret server slack sqlite staging table test token true user users vercel",
    )
)

_NAMES_A_SECRET: Final = re.compile(
    r"^(?!MAX_|MIN_)(?!.*_(?:LIMIT|NAME|TYPE|TTL|LENGTH|FILE|PATH|COUNT|SECONDS|HOURS|DAYS)$)(?:.*_)?"
    r"(?:PG)?(?:PASSWORD|PASSWD|PASS|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY|ENCRYPTION_KEY|CREDENTIAL"
    r"|AUTH_STRING|WEBHOOK_URL)S?(?:_|$)",
    re.IGNORECASE,
)
_NAMES_AN_ADDRESS: Final = re.compile(r"(?:URL|URI|DSN|REPOSITORY)(?:_|$)", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\s*[a-z][\w+.-]*:/|.*\b(?:password|passfile)\s*=", re.IGNORECASE | re.DOTALL)
_CUT_OFF: Final = "…"
_BETWEEN: Final = re.compile(r"[\s│┃|]+")
_PARTS: Final = re.compile(r"[/@#?:%&=\s\\'\"]+")


class Redactor:
    """Knows secrets, and takes them out of texts."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._written: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def learn(self, *secrets: str | SecretStr | None) -> None:
        """Know values that no output may hold; those that are too short to be told from words are left to their form.

        Args:
            secrets: the values as they are.
        """
        given = {one.get_secret_value() if isinstance(one, SecretStr) else one for one in secrets if one is not None}
        given = {one for one in given if one.strip().lower() not in _ORDINARY}
        with self._lock:
            if given <= self._secrets:
                return
            self._secrets |= given
            self._written = _all_written(self._secrets)

    def redacted(self, text: str) -> str:
        """A text without secrets and without rows' values.

        Args:
            text: any text, such as the message of an exception.
        """
        for one in self._written:
            if one in text:
                text = _word(one).sub(MASK, text) if _may_be_a_word(one) else text.replace(one, MASK)
        if "\n" in text:
            text = self._rejoined(text)
        if _CUT_OFF in text:
            text = self._without_beginnings(text)
        return masked_by_form(text)

    def _without_beginnings(self, text: str) -> str:
        """Mask what a column of a table has cut off."""
        for one in self._written:
            begin = one[: one.find("://") + SHORTEST + (len("://") if "://" in one else 1)]
            at = text.find(begin)
            while at >= 0:
                pairs = zip(text[at : at + len(one) + 1], f"{one}\0", strict=False)
                end = at + next((length for length, (is_, was) in enumerate(pairs) if is_ != was), len(text) - at)
                if text.startswith(_CUT_OFF, end):
                    text, end = f"{text[:at]}{MASK}{text[end:]}", at + len(MASK)
                at = text.find(begin, end)
        return text

    def _rejoined(self, text: str) -> str:
        """Mask what was broken over lines."""
        joined = _BETWEEN.sub("", text)
        broken = {squeezed for one in self._written if len(squeezed := _BETWEEN.sub("", one)) >= LONG}
        found = [squeezed for squeezed in broken if squeezed in joined]
        if not found:
            return text
        kept = [at for at, character in enumerate(text) if not _BETWEEN.fullmatch(character)]
        spans: list[tuple[int, int]] = []
        for squeezed in found:
            at = joined.find(squeezed)
            while at >= 0:
                spans.append((kept[at], kept[at + len(squeezed) - 1] + 1))
                at = joined.find(squeezed, at + len(squeezed))
        parts: list[str] = []
        until = 0
        for begin, end in sorted(spans):
            if begin >= until:
                parts += (text[until:begin], MASK)
            until = max(until, end)
        return "".join((*parts, text[until:]))

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """Forget afterwards what is learned meanwhile."""
        before = self._secrets, self._written
        try:
            yield
        finally:
            self._secrets, self._written = before


known: Final = Redactor()
learn = known.learn
redacted = known.redacted


def learn_address(*texts: str | SecretStr | None) -> None:
    """Know what is secret in addresses and connection strings, in malformed ones too."""
    for given in texts:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given or ""
        for one in addresses(text):
            learn(one)
            # An unescaped delimiter makes a part of the password another part of the address.
            both = f"{one} {unquote(one)}"
            if parts := [part for part in _PARTS.split(both)[:40] if len(part) >= SHORTEST]:
                learn(*parts)


def learn_variables(given: Mapping[str, str | None]) -> None:
    """Know the secrets among environment variables, or those of a file of settings."""
    for name, value in given.items():
        if not value or value.startswith("<"):
            continue
        if _NAMES_A_SECRET.search(name):
            parts = [part for part in re.split(r"[,:;/\s]+", value) if len(part) >= 2 * LONG]
            learn(value, *(line for line in value.splitlines() if len(line.strip()) >= SHORTEST), *parts)
        if _ADDRESS.match(value) or _NAMES_AN_ADDRESS.search(name):
            learn_address(value)
        if name == "PGPASSFILE":
            learn_passfile(Path(value))


def learn_passfile(file: Path) -> None:
    """Know the passwords of libpq's file of passwords, where it is there."""
    with suppress(OSError, ValueError):
        lines = file.expanduser().read_text().splitlines()
        learn(*(re.split(r"(?<!\\):", line, maxsplit=4)[-1] for line in lines if line.count(":") >= 4))


def redacted_json(value: JsonValue | Mapping[str, JsonValue] | Sequence[JsonValue]) -> JsonValue:
    """A value of JSON whose texts, names included, are without secrets."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(name): redacted_json(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [redacted_json(one) for one in value]
    return value


def _all_written(secrets: frozenset[str]) -> tuple[str, ...]:
    every = {written for secret in secrets for written in _written(secret) if len(written) >= SHORTEST}
    return tuple(sorted(every, key=lambda one: (-len(one), one)))


def _written(secret: str) -> Iterator[str]:
    """A secret in every form in which it may be written."""
    for value in {secret, secret.strip(), unquote(secret), unquote_plus(secret), "".join(secret.splitlines())}:
        if len(value.strip()) < SHORTEST:
            continue
        encoded = {quote(value), quote(value, safe=""), quote_plus(value), quote(value, safe=" +"), quote(value, "+/=")}
        yield from (value, *encoded)
        yield from (re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in encoded)
        yield from (one.replace("%", "%%") for one in (value, *encoded))
        escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
        yield from (*escaped, repr(repr(value))[2:-2], json.dumps(json.dumps(value))[3:-3])
        yield from (one.replace("\\", "\\\\") for one in (value, *escaped))
        yield from (value.replace("'", "''"), value.replace("'", "\\'"), value.replace("[", r"\["))
        yield from (html.escape(value), html.escape(value, quote=False))
        if len(value) >= LONG:
            yield from _in_base64(value.encode(errors="surrogateescape"))
            yield value.encode(errors="surrogateescape").hex()


def _in_base64(value: bytes) -> Iterator[str]:
    """What Base64 makes of a value, whatever stands before and after it."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + value).decode()
        # The first characters hold bits of what stands before, the last ones of what follows.
        first = (before * 8 + 5) // 6
        last = (before + len(value)) * 8 // 6
        yield text[first:last]
        yield text[first:last].replace("+", "-").replace("/", "_")


def _may_be_a_word(written: str) -> bool:
    return len(written) < LONG or (len(written) < LONG_WORD and written.isalpha() and written.islower())


def _word(short: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])")
