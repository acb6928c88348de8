"""Revisions applied to a database that is in use: lock waits bounded, interruptions survived."""
