"""Whether the revisions are in order, with each other and with the models; one check a file."""
