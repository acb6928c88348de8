"""What secrets look like, and rows' values in messages of PostgreSQL, where no value is known."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

MASK: Final = "***"

_KEYS = (
    r"(?:pas+(?:w(?:or)?[dt]|phrase|file)|(?<![a-z])pass|sslpassword|pwd|secret|token|api[-_]?key|access[-_]?key"
    r"|private[-_]?key)"
)
_HELD = r"(?!\*\*\*|<|\$\d|%[s(]|\{|\()"
_FORMS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, flags), masked)
    for pattern, masked, flags in (
        # All of the user part of an address: a malformed one may hold the password anywhere in it.
        (r"(?<=://)(?:[^\s\"<>`/@:]*:[^\s\"<>`]*|[^\s\"<>`/@]*)@", f"{MASK}@", 0),
        # The same, percent-encoded as a whole.
        (r"(?<=%3A%2F%2F)[^\s\"<>`]*%40", f"{MASK}%40", re.IGNORECASE),
        # A column of a table has cut off what follows.
        (r"(?<=://)[^\s\"<>`/@:]*:(?!\d*[/?#…])[^\s\"<>`@]*…", f"{MASK}…", 0),
        (
            rf"\b([\w.-]*{_KEYS}s?=){_HELD}(?:'(?:[^'\\\n]|\\.|'')*'|\"[^\"\n]*\"|[^\s,;&\"'\])}}]+)",
            rf"\g<1>{MASK}",
            re.IGNORECASE,
        ),
        (rf"\b([\w.-]*{_KEYS}s? = ){_HELD}(?:'(?:[^'\\\n]|\\.|'')*'|\"[^\"\n]*\")", rf"\g<1>'{MASK}'", re.IGNORECASE),
        (
            rf"([\"'][\w.-]*{_KEYS}s?[\"']\s*:\s*)([\"']){_HELD}(?:(?!\2)[^\\\n]|\\.)+(?=\2)",
            rf"\1\g<2>{MASK}",
            re.IGNORECASE,
        ),
        (r"\b(PASSWORD|CONNECTION)(\s+)E'(?:[^'\\]|\\.|'')*'", rf"\1\2'{MASK}'", re.IGNORECASE),
        (r"\b(PASSWORD|CONNECTION)(\s+)(?:E|U&)?'(?:(?:[^'\n]|'')*'|[^\n\"]*)", rf"\1\2'{MASK}'", re.IGNORECASE),
        (r"\b(PASSWORD\s+)(\$\w*\$).*?(?:\2|$)", rf"\g<1>'{MASK}'", re.IGNORECASE | re.DOTALL),
        (
            r"\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|token)\s+)?[^\s\"',]+",
            rf"\g<1>{MASK}",
            re.IGNORECASE,
        ),
        (r"\b(bearer|basic)(\s+)(?=[\w.~+/-]*[\d=_])[\w.~+/-]{8,}=*", rf"\1\2{MASK}", re.IGNORECASE),
        (r"\b(hooks\.slack\.com/\w+/)[^\s\"'<>]+", rf"\g<1>{MASK}", 0),
        (r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,})", MASK, 0),
        (r"\b(?:napi_\w{12,}|npg_\w{8,}|vc[a-z]_\w{16,}|sk-[\w-]{20,}|AKIA[0-9A-Z]{16})", MASK, 0),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+", MASK, 0),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MASK, re.DOTALL),
    )
)

# Source: errdetail and errcontext of PostgreSQL's executor and of COPY.
_ENDS = r"(?=\n(?:CONTEXT|HINT|STATEMENT|WHERE|QUERY|LOCATION|[A-Z]+ NAME|\[SQL|\[parameters|\(Background)|\Z)"
_ROWS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), masked)
    for pattern, masked in (
        (
            r"(Key \([^\n]*?\)=)\(.*?\)(?= (?:already exists|is not present|is still ref|is duplicated|conflicts)|$)",
            rf"\1({MASK})",
        ),
        (r"(conflicts with existing key \([^\n]*?\)=)\(.*?\)(?=\.|$)", rf"\1({MASK})"),
        (rf"(Failing row contains )\(.*?{_ENDS}", rf"\1({MASK})."),
        (r"(\[parameters: ).*?\](?=\s*(?:\n|\(Background|$))", rf"\1{MASK}]"),
        (r"(invalid input (?:syntax|value) for [^:\n]+: )\"[^\n]*\"", rf'\1"{MASK}"'),
        (r"(out of range: )\"[^\n]*\"", rf'\1"{MASK}"'),
        (r"\b(value )\"[^\n]*\"( is out of range)", rf'\1"{MASK}"\2'),
        (r"(\bCOPY [^\n:]*, line \d+[^\n:]*: )\"[^\n]*", rf"\1{MASK}"),
    )
)

_SECRET_PARAMETER = re.compile(rf"{_KEYS}[\"']?\s*[=:]\s*('(?:[^'\\]|\\.)*(?:'|$)|[^\s&]+)", re.IGNORECASE)
_NEXT_PARAMETER = re.compile(r"\s+\w+\s*=")
# What stands where a host and its port belong, and is none.
_MISPLACED = re.compile(r"(?!\[)[^:@/?#]*:(?!\d+(?:[/?#,\s]|$))([^/?#\s]{4,})")
_WITHOUT_SCHEME = re.compile(r"\s*(?:[\w+.-]*:/+|/+)?[^:=/\s]*:/*(.+)@", re.DOTALL)
_ENCODED = re.compile(r"\s*[a-z][\w.-]*(?:\+|%2B)?\w*%3A%2F%2F", re.IGNORECASE)
# A user and a server with its port: what stands before the sign may be a password that was put in the wrong place.
_MISPLACED_USER = re.compile(r"\s*([^\s@:/]{8,})@[\w.-]+:\d+\b")
_USERS_BY_CONVENTION = frozenset({"git", "oauth2", "x-access-token", "x-oauth-basic", "x-token-auth"})
_LONG_USER = 8


def masked_by_form(text: str) -> str:
    """A text without what looks like a secret, or like a row's value in a message of PostgreSQL."""
    for pattern, masked in (*_FORMS, *_ROWS):
        text = pattern.sub(masked, text)
    return text


def addresses(text: str) -> Iterator[str]:
    """What is secret in an address or a connection string, however malformed it is.

    A password that is its user's name as well is none: it is masked where it stands in an address only.
    """
    text = unquote(text) if _ENCODED.match(text) else text
    scheme, mark, rest = text.strip().partition("://")
    if mark:
        userinfo, at, _ = rest.rpartition("@")
        if not at:
            # Without a host, the first colon may be that of the password, or that of a port.
            userinfo = rest if not re.match(r"[^/?#]*:\d*(?:[/?#]|$)", rest) else ""
        user, colon, password = userinfo.partition(":")
        is_web = scheme.lower().startswith("http")
        if colon and password != user and not (is_web and "/" in user):
            yield password
        is_alone = is_web or (colon and not password)
        if is_alone and at and len(user) >= _LONG_USER and "/" not in user and user not in _USERS_BY_CONVENTION:
            yield user
        if at and not is_web and (misplaced := _MISPLACED.match(rest.rpartition("@")[2])):
            yield misplaced[1]
    elif found := _WITHOUT_SCHEME.match(text) or _MISPLACED_USER.match(text):
        yield found[1]
    for decoded in dict.fromkeys((text, unquote(text))):
        for found in _SECRET_PARAMETER.finditer(decoded):
            yield re.sub(r"\\(.)", r"\1", found[1].strip("'")) if found[1].startswith("'") else found[1]
            if not mark:
                # A blank that is not quoted ends a value of a string of keywords: what follows belongs to it.
                yield _NEXT_PARAMETER.split(decoded[found.start(1) :])[0]
