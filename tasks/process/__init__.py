"""The process that a run lives in: its output when nobody reads it, and its end when it is told to stop."""
