"""`pilotage schema`: the models in the words of the application's client."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console.command_errors import CommandFailed, exit_on_error, stderr_console
from migrations.models import Base
from migrations.prisma.document import prisma_schema


def schema(
    prisma: Annotated[bool, typer.Option("--prisma", help="As schema.prisma, for Prisma's client.")] = False,
    output: Annotated[Path | None, typer.Option("--output", help="File to write; standard output by default.")] = None,
) -> None:
    """Write the models as a schema of the application's client, and say on stderr what that cannot express."""
    with exit_on_error():
        if not prisma:
            raise CommandFailed("say in whose words: `pilotage schema --prisma`")
        written = prisma_schema(Base)
        if output is None:
            typer.echo(written.text, nl=False)
        else:
            try:
                output.write_text(written.text, encoding="utf-8")
            except OSError as error:
                raise CommandFailed(f"{output} cannot be written: {error.strerror}") from error
    stderr_console.print(
        f"{len(written.unexpressed)} things have no words in Prisma; the database has them all the same:"
    )
    for one in written.unexpressed:
        stderr_console.print(f"  {one}", markup=False, soft_wrap=True)
