"""Which version this is."""

VERSION = "1"
