"""Vercel's REST API: builds, promotion, instant rollback, variables, Edge Config, runtime logs."""
