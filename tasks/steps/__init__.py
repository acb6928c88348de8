"""The steps of the checklist: one file a step, each a retriable task."""
