"""Neon's API over real PostgreSQL clusters."""
