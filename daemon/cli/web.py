"""`earshot web`: the web pages alone."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.privacy import hide_memory
from daemon.errors import EarshotError

if TYPE_CHECKING:
    from daemon.config.models import Config

DEFAULT_LISTEN = "127.0.0.1:8765"


@click.command(epilog="Example: earshot web --listen 127.0.0.1:8765")
@configuration_options
@click.option(
    "--listen",
    metavar="WHERE",
    help=f"HOST:PORT or the path of a Unix socket; default: `web.listen`, else {DEFAULT_LISTEN}.",
)
@pass_context
def web(context: Context, listen: str | None) -> None:
    """Serve the web pages until SIGTERM or SIGINT.

    With `web.listen` in the configuration `earshot run` serves them as well; this is for another port, or to
    look at a database whose service is not running. Beyond this host they need a password (`web.token_file`).
    """
    hide_memory()
    from daemon.web.server import Pages

    context.start_logging("INFO")
    config = _listening_on(context.config, listen or context.config.web.listen or DEFAULT_LISTEN)
    # It brings the tables up to date, and says so when there are none yet.
    context.database.close()
    with _quiet_sigterm():
        Pages(context.env).serve_here(config, lambda address: click.echo(f"listening on {address}"))


def _listening_on(config: Config, listen: str) -> Config:
    """Return the configuration with this place to listen; EarshotError where it needs a password."""
    from daemon.config.addresses import is_loopback
    from daemon.config.values import listen_address

    try:
        address = listen_address(listen)
    except ValueError as error:
        raise click.BadParameter(f"{listen!r} {error}", param_hint="--listen") from None
    pages = config.web
    if address and not is_loopback(address[0]) and pages.token_file is None and pages.user_header is None:
        raise EarshotError(
            f"pages on {address[0]} can be reached from other hosts and need a password: "
            "write web.token_file: FILE into the configuration"
        )
    return config.model_copy(update={"web": pages.model_copy(update={"listen": listen})})


@contextlib.contextmanager
def _quiet_sigterm() -> Iterator[None]:
    """Ignore the SIGTERM that uvicorn raises again at its end: it has been obeyed by then."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
