"""Where a release goes, and where the pipeline runs: HTTP and settings, no SQL on the target."""
