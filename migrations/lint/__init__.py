"""Statements judged before they run: what they would do to the clients of a live database, and what to do instead."""
