"""`python -m flows.cli`: the `pilotage` command."""

from flows.cli import app

app(prog_name="pilotage")
