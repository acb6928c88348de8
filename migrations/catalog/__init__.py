"""The catalogue of a database as a value: objects, rights and default privileges, read, compared and hashed."""
