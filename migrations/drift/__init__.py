"""What stands in a database against what was released to it."""
