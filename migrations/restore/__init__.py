"""The restore point, the rows that were written after it, and whether a release can be reversed without losing them."""
