"""Neon's API v2: branches, restores, snapshots, connection strings."""
