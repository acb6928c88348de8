"""Integrity checks: one a file; a check that cannot tell says so, and never passes."""
