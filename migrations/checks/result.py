"""What a check found."""

from dataclasses import dataclass

SAMPLE = 5


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        check: its name.
        violations: how many rows or objects are wrong; None where it could not tell.
        detail: what was looked at, or why it could not tell.
        sample: some of what is wrong, in words.
    """

    check: str
    violations: int | None
    detail: str = ""
    sample: tuple[str, ...] = ()

    @classmethod
    def of(cls, check: str, wrong: list[str], detail: str = "") -> "CheckResult":
        """The result of a check that lists everything that is wrong."""
        return cls(check, len(wrong), detail, tuple(wrong[:SAMPLE]))
