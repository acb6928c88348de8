"""Revisions drafted from what the models say and the revisions lack, in every kind of object."""
