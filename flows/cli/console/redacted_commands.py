"""What leaves a command passes the redactor: what it prints, logs and raises, whoever of it does so."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from dotenv import dotenv_values
from typer.core import TyperGroup

from deployments.redaction.redacted_output import guard_logging, redacted_exception, streams_redacted
from deployments.redaction.redactor import learn_address, learn_variables


class RedactedGroup(TyperGroup):
    """A group of commands that knows the secrets that it is given, and lets none of them out."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **given: Any) -> Any:
        """Run a command as click does."""
        learn_variables(os.environ)
        learn_variables(dotenv_values(os.environ.get("PILOTAGE_ENV_FILE", ".env")))
        learn_address(*(sys.argv[1:] if args is None else args))
        guard_logging()
        with streams_redacted():
            try:
                return super().main(args, *rest, **given)
            except BaseException as error:
                safe = redacted_exception(error)
                if safe is error:
                    raise
                raise safe from None
