"""The git repository that is released, and what a repository keeps that it should not."""
