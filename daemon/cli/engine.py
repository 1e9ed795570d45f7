"""`earshot engine`: the embedded engine alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from daemon.cli.engine_models import CONFIGURED, check_models, engine_settings, install_models
from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.privacy import hide_memory
from daemon.engine.access import Access, is_loopback
from daemon.errors import EarshotError
from daemon.logs import arrange

if TYPE_CHECKING:
    from daemon.engine.settings import Settings

LARGEST_PORT = 65535


@click.command(epilog="Example: earshot engine --install base && earshot engine --port 8080")
@configuration_options
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, LARGEST_PORT),
    default=0,
    show_default=True,
    help="0 picks a free one.",
)
@click.option(
    "--uds",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Listen on this Unix socket instead.",
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
@click.option(
    "--check", is_flag=True, help="Say model, hash, device and speed, and end; 1 if it does not work."
)
@click.option("--exit-with-stdin", is_flag=True, hidden=True)
@click.option("--log-json", is_flag=True, hidden=True)
@pass_context
def engine(
    context: Context,
    host: str,
    port: int,
    uds: Path | None,
    wanted: str | None,
    into: Path | None,
    check: bool,
    exit_with_stdin: bool,
    log_json: bool,
) -> None:
    """Run the embedded engine alone, as an HTTP server.

    It reads nothing but the section `engine` of the configuration. To listen beyond this host it needs a key.
    """
    hide_memory()
    if check and wanted is not None:
        raise click.UsageError("--check and --install exclude each other")
    if check:
        check_models(context)
        return
    if wanted is not None:
        install_models(context, wanted, into)
        return
    if into is not None:
        raise click.UsageError("--into goes with --install")
    if uds is not None and (named := _named("host", "port")):
        raise click.UsageError(f"--uds excludes {named}: the engine listens in one place")
    if not host.isprintable() or not host:
        raise click.BadParameter("is no address; write one such as 127.0.0.1", param_hint="--host")
    # When the service starts it, its requests are in the service's log already.
    context.start_logging("WARNING" if exit_with_stdin else "INFO")
    if log_json:
        arrange("json", nameless_below=None)
    settings, key = (_of_owner(), None) if exit_with_stdin else _of_configuration(context)
    # Only now: without the packages they cannot be imported, and that is told by a line.
    from daemon.engine.connections import listen_on_path, listen_on_port
    from daemon.engine.server import serve

    access = access_for(host if uds is None else None, key)
    listener = listen_on_port(host, port) if uds is None else listen_on_path(uds, for_all=key is not None)
    with listener:
        serve(listener, settings, access, exit_with_stdin=exit_with_stdin)


def _named(*options: str) -> str:
    """Return those of the options, as they are written, that the command line names."""
    context = click.get_current_context()
    given = [each for each in options if context.get_parameter_source(each) is ParameterSource.COMMANDLINE]
    return " and ".join(f"--{each}" for each in given)


def access_for(host: str | None, key: str | None) -> Access:
    """Return who may use an engine that listens on this host, or with None on a Unix socket."""
    loopback = host is None or is_loopback(host)
    if key is None and not loopback:
        raise EarshotError(
            f"an engine on {host} can be reached from other hosts and needs a key: "
            "write engine.api_key_file: FILE into the configuration"
        )
    return Access(key=key, checks_host=host is not None and key is None)


def _of_owner() -> Settings:
    """The settings that the service wrote to stdin."""
    from daemon.engine.settings import from_json

    return from_json(sys.stdin.buffer.readline())


def _of_configuration(context: Context) -> tuple[Settings, str | None]:
    from daemon.config.secrets import engine_key
    from daemon.logs import register_secret
    from daemon.runtime.engine_process import settings_of

    configured = engine_settings(context)
    key = engine_key(configured.api_key_file, env=context.env)
    if key is not None:
        register_secret(key)
    return settings_of(configured), key
