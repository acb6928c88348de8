"""Who there is, and how active: what the rows of all tables are made from, a user at a time, with nothing kept."""

from bisect import bisect_left
from collections.abc import Iterator
from random import Random
from typing import Final, Literal, NamedTuple

from migrations.seeds._distributions import (
    END_MS,
    dice,
    moments,
    number,
    one_of,
    rounded,
    shared,
    zipf,
)
from migrations.seeds._texts import FIRST_NAMES, LAST_NAMES, LONGEST, POOL, dialogue

Size = Literal["small", "medium", "large"]

USERS: Final[dict[Size, int]] = {"small": 24, "medium": 1_400, "large": 45_500}
"""How many users there are; each has some 215 rows, over all tables."""

AGENTS: Final[dict[Size, int]] = {"small": 24, "medium": 24, "large": 60}

_TIERS: Final = shared({"FREE": 58, "BASIC": 20, "PRO": 15, "ENTERPRISE": 5, "CUSTOM": 1, "UNLIMITED": 1})
_ROLES: Final = shared(
    {"USER": 62, "SUBSCRIBER": 22, "GUEST": 5, "DEVELOPER": 4, "MANAGER": 3, "INVITED_AGENT": 2, "INVITED_STORAGE": 2}
)
_LANGUAGES: Final = shared({"es": 72, "en": 28})
_CONVERSATIONS_EACH: Final = 9.0
_AHEAD_MS: Final = 6 * 3_600_000


class GeneratedPerson(NamedTuple):
    """A user."""

    first: str
    last: str
    role: str
    tier: str
    language: str
    born: int


class Talk(NamedTuple):
    """A conversation: `pairs` questions and answers, from one place of the dialogue on, a step apart."""

    session: int
    key: int
    agent: int
    began: int
    step: int
    place: int
    pairs: int


class Plan:
    """What a size and a seed make.

    Args:
        size: how many users.
        seed: another one makes other rows, none of which is in the way of these.
    """

    def __init__(self, size: Size, seed: int) -> None:
        self.size: Size = size
        self.seed = seed
        self.users = USERS[size]
        self.agents = AGENTS[size]
        self.admins = max(2, self.users // 500)
        self.domain = f"{size}{seed}.example.com"
        self._prefixes: dict[str, str] = {}
        self._bases: dict[str, int] = {}
        roll = self.roll("plan")
        self.weights = zipf(self.users)
        roll.shuffle(self.weights)
        self.moments = moments(roll)
        self.dialogues = {language: dialogue(roll, language) for language in ("es", "en")}

    def roll(self, what: str, user: int = 0) -> Random:
        """The numbers of one thing of one user."""
        base = self._bases.get(what)
        if base is None:
            base = self._bases[what] = number(self.seed, self.size, what)
        return dice(base + user * 0x9E3779B97F4A7C15)

    def prefix(self, table: str) -> str:
        """The first half of the ids of a table; they are UUIDs of version 8, whose rest counts.

        Source: RFC 9562, section 5.8: version 8 leaves all but version and variant to who makes it.
        """
        found = self._prefixes.get(table)
        if found is None:
            text = f"{number(self.seed, self.size, table):016x}"
            found = self._prefixes[table] = f"{text[:8]}-{text[8:12]}-8{text[12:15]}-8"
        return found

    def key(self, table: str, user: int, place: int = 0) -> str:
        """The id of a user's row: none of another table, user, size or seed has it."""
        rest = f"{user:07x}{place:08x}"
        return f"{self.prefix(table)}{rest[:3]}-{rest[3:]}"

    def user(self, user: int) -> str:
        """The id of a user."""
        return self.key("users", user)

    def everyone(self) -> range:
        """The users; the first of them are administrators."""
        return range(self.users)

    def count(self, roll: Random, user: int, mean: float) -> int:
        """How many of something a user has, by how active the user is."""
        return rounded(roll, mean * self.weights[user])

    def after(self, roll: Random, moment: int) -> int:
        """A moment after another, in the rhythm of the two years."""
        first = min(bisect_left(self.moments, moment), len(self.moments) - 1)
        found = self.moments[first + int(roll.random() * (len(self.moments) - first))]
        return max(found, moment) + int(roll.random() * 60_000)

    def person(self, user: int) -> GeneratedPerson:
        """Who a user is."""
        roll = self.roll("person", user)
        admin = user < self.admins
        place = 0 if admin else int(roll.random() ** 1.3 * len(self.moments) * 0.9)
        return GeneratedPerson(
            one_of(roll, FIRST_NAMES),
            one_of(roll, LAST_NAMES),
            "ADMIN" if admin else one_of(roll, _ROLES),
            "UNLIMITED" if admin else one_of(roll, _TIERS),
            one_of(roll, _LANGUAGES),
            self.moments[place],
        )

    def talks(self, user: int, born: int) -> Iterator[Talk]:
        """A user's conversations, each session's together."""
        roll = self.roll("talks", user)
        left = self.count(roll, user, _CONVERSATIONS_EACH)
        favourite = int(roll.random() * self.agents)
        session = 0
        while left > 0:
            began = min(self.after(roll, born), END_MS - _AHEAD_MS)
            for inside in range(min(left, 1 + int(roll.random() * 2.2))):
                agent = favourite if roll.random() < 0.5 else int(roll.random() ** 2 * self.agents)
                pairs = min(1 + int(roll.expovariate(0.4)), LONGEST)
                place = int(roll.random() * (POOL - LONGEST))
                step = 40_000 + int(roll.random() * 160_000)
                yield Talk(session, session * 4 + inside, agent, began + inside * 5_400_000, step, place, pairs)
                left -= 1
            session += 1
