"""PostgreSQL clusters: created, started, backed up, recovered and provisioned."""
