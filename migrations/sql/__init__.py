"""What a statement means, read from PostgreSQL's own parser: names, locks, effects; nothing is judged here."""
