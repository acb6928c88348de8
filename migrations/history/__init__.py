"""The revisions of a project, where they run, and what the target database remembers of them."""
