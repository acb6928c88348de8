"""The one place that masks secrets: whatever leaves the process passes it."""
