"""What the steps of the checklist share: clients, the record of a release, gates, the past, verdicts."""
