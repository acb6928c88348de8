"""Vercel's API over real processes of the released application."""
