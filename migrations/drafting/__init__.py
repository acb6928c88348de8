"""Revisions drafted from what the models say and the revisions lack, in every kind of object."""

from migrations.drafting.draft import Draft, DraftedRevision, draft_revisions, empty_revision, next_ids, write
from migrations.drafting.files import revision_text
from migrations.drafting.parts import Part

__all__ = [
    "Draft",
    "DraftedRevision",
    "Part",
    "draft_revisions",
    "empty_revision",
    "next_ids",
    "revision_text",
    "write",
]
