"""Waivers that are mistakes themselves."""

from migrations.lint.hazard import Hazard

_ADD = "SET lock_timeout = '2s';\nALTER TABLE orders ADD COLUMN note text;\n"
_DROP = """SET lock_timeout = '2s';
-- waive column-dropped: no release has read it since March
ALTER TABLE orders DROP COLUMN note;
"""

UNKNOWN = Hazard(
    id="waiver-unknown",
    condition="A waiver names a hazard that there is not.",
    effect="`{name}` is no hazard, so the waiver covers nothing, and whoever reads it believes otherwise.",
    safe="Write the id as the finding has it, or take the waiver away.",
    bad=f"-- waive column-droped: no release has read it since March\n{_ADD}",
    good=_DROP,
    concern="any",
)

WITHOUT_REASON = Hazard(
    id="waiver-without-reason",
    condition="A waiver gives no reason.",
    effect="The waiver of `{name}` does not say why, so nobody can tell later whether it still holds.",
    safe="Write the reason behind the id: what was looked at, and why it is safe here.",
    bad="SET lock_timeout = '2s';\n-- waive column-dropped:\nALTER TABLE orders DROP COLUMN note;\n",
    good=_DROP,
    concern="any",
)

UNUSED = Hazard(
    id="waiver-unused",
    condition="A waiver covers nothing.",
    effect="`{name}` is not found where it is waived: the waiver would hide it should it come back.",
    safe="Take the waiver away.",
    bad=f"-- waive column-dropped: no release has read it since March\n{_ADD}",
    good=_DROP,
    concern="any",
)
