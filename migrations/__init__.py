"""The schema, and all that is known about changing one: PostgreSQL, no Prefect, no HTTP."""
