"""The commands, put together."""

import typer

from . import _check_gradients, _fit, _move, _optimise_detector, _shower

app = typer.Typer(
    help="Differentiable particle physics in JAX: shower events, move them, fit them with gradients.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("fit")(_fit.fit)
app.command("shower")(_shower.shower)
app.command("move")(_move.move)
app.command("check-gradients")(_check_gradients.check_gradients)
app.command("optimise-detector")(_optimise_detector.optimise_detector)


def main() -> None:
    """Entry point of the console script: errors of the user become one sentence and exit code 2, Ctrl-C 130."""
    from ._session import report_errors

    with report_errors():
        app()
