"""What the platform runs on: folders, PostgreSQL's binaries, child processes, HTTP servers, faults on request."""
