"""`earshot engine`: the embedded engine alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from daemon.cli.engine_models import CONFIGURED, install_models
from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.privacy import hide_memory
from daemon.errors import EarshotError

LARGEST_PORT = 65535


@contextmanager
def engine_packages() -> Iterator[None]:
    """Turn a failed import of the `engine` extra in the block into a line that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "daemon":
            raise
        raise EarshotError(
            f"the embedded engine needs a package that is not installed ({error.name}); "
            "install it with: pip install 'earshot[engine]'"
        ) from error


@click.command(epilog="Example: earshot engine --install base && earshot engine --port 8080")
@configuration_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, LARGEST_PORT), default=0, show_default=True, help="0 picks a free one."
)
@click.option(
    "--install",
    "wanted",
    is_flag=False,
    flag_value=CONFIGURED,
    metavar="[MODEL]",
    help="Fetch the models that it needs, and end: base, tiny.en, or by default what `engine.model` says.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="With --install: where models are put.",
)
@click.option("--exit-with-stdin", is_flag=True, hidden=True)
@pass_context
def engine(
    context: Context, host: str, port: int, wanted: str | None, into: Path | None, exit_with_stdin: bool
) -> None:
    """Run the embedded engine alone, as an HTTP server."""
    hide_memory()
    if wanted is not None:
        install_models(context, wanted, into)
        return
    if into is not None:
        raise click.UsageError("--into goes with --install")
    if not host.isprintable() or not host:
        raise click.BadParameter("is no address; write one such as 127.0.0.1", param_hint="--host")
    # When the daemon starts it, its requests are in the daemon's log already.
    context.start_logging("WARNING" if exit_with_stdin else "INFO")
    with engine_packages():
        from daemon.engine.server import serve
    try:
        serve(host, port, exit_with_stdin=exit_with_stdin)
    except OSError as error:
        # Python adds the address after the system's reason, in its own format.
        reason = (error.strerror or type(error).__name__).partition(" (while")[0]
        raise EarshotError(
            f"cannot listen on {host}, port {port}: {reason}; name others by --host and --port"
        ) from error
