"""Whether a changed schema still serves the application that runs."""
