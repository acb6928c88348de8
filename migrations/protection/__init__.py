"""Who may see and change what: roles, encrypted columns and their keys, the super admin."""
