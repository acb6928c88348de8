"""Every hazard that the lint knows, by its id. A file of this folder holds one, or a few that belong together."""
