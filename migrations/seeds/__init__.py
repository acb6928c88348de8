"""Seeds: the rows that a database starts with, and as many believable ones as are asked for."""
