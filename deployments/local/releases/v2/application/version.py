"""Which version this is."""

VERSION = "2"
