"""What may be told of statements and of failures: never a value of a row, never a secret."""
