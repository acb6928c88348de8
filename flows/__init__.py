"""What happens, in which order: the flows of the production checklist."""
