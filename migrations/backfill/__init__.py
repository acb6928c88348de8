"""`op.backfill`: rows changed in batches by key, resumable, without anyone noticing."""
