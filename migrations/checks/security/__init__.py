"""The security checklist, as far as the database can answer it; a line that cannot be told never holds."""
