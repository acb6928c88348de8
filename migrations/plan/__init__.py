"""The plan of a release as a value: its revisions, their statements and locks, judged and shown."""
