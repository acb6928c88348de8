"""What developers do with revisions: draft, check, merge, mark and reset."""
