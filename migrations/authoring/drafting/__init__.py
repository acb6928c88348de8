"""Revisions drafted from what the models say and the revisions lack, in every kind of object."""

from migrations.authoring.drafting.draft import Draft, DraftedRevision, draft_revisions, empty_revision, next_ids, write
from migrations.authoring.drafting.files import revision_text
from migrations.authoring.drafting.parts import Part

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
