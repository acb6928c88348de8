"""The catalogue of a database as a value: objects, privileges (also by default), read, compared and hashed."""
