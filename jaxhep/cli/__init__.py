"""The command `jaxhep`.

Only typer is imported here; each command imports what it needs when it runs, so that `--help` is instant.
"""

from ._app import app, main

__all__ = ["app", "main"]
