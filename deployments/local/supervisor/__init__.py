"""The platform's own process: its parts are started in order, watched, and stopped in the opposite order."""
