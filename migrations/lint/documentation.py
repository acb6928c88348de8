"""The page of hazards, made from their records: `python -m migrations.lint.documentation` writes docs/hazards.md."""

from __future__ import annotations

from pathlib import Path

from migrations.lint.hazard import Concern, Hazard
from migrations.lint.hazard_registry import HAZARDS
from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hazards.md"

_HEAD = """# Hazards

What `pilotage lint` looks for, by id. A table that the same plan makes is not in use yet; where a
database is given, small tables (below 10,000 rows and 10 MB) are left alone too. A hazard that is taken knowingly is
waived in the revision, with its reason:

```python
waivers = {"column-dropped": "no release has read it since March"}
```

In plain SQL a comment before the statement does it: `-- waive column-dropped: no release has read it since March`.
A waiver without reason, of a hazard that there is not, or that covers nothing fails.

This page is made from the records in `migrations/lint/hazards/`: `python -m migrations.lint.documentation` writes it.
"""

_CONCERNS: dict[Concern, str] = {
    "large": "Silent on small tables, and on those that the same plan makes.",
    "live": "Silent on tables that the same plan makes.",
    "any": "The size of the table makes no difference.",
}


def page() -> str:
    """The page as it should be."""
    index = "\n".join(f"- [{one}](#{one}): {HAZARDS[one].condition}" for one in HAZARDS)
    return "\n".join([_HEAD, index, "", *(_section(one) for one in HAZARDS.values())])


def _section(hazard: Hazard) -> str:
    seen = f"\n\nSquawk's rules for it: {', '.join(f'`{one}`' for one in hazard.squawk)}." if hazard.squawk else ""
    return f"""## {hazard.id}

{hazard.condition}

Of the bad example below it says:

> {bad_example_output(hazard)}

{_CONCERNS[hazard.concern]}{seen}

```{hazard.language}
{_titled("bad", hazard)}
```

```{hazard.language}
{_titled("good", hazard)}
```
"""


def _titled(kind: str, hazard: Hazard) -> str:
    mark = "#" if hazard.language == "python" else "--"
    return f"{mark} {kind}\n{(hazard.bad if kind == 'bad' else hazard.good).strip()}"


def bad_example_output(hazard: Hazard) -> str:
    """What the lint says of a hazard's bad example."""
    if hazard.example is not None:
        return hazard.message(hazard.example)
    history = parse_sql(hazard.bad)
    found = lint(history.statements, hazard.known, history.waivers)
    return next(one.message for one in found if one.hazard == hazard.id)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
