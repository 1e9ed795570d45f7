"""`earshot run`: the service, in the foreground."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import click

from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.privacy import hide_memory

if TYPE_CHECKING:
    from daemon.config.models import Config

ENDING_SECONDS = 5.0
"""Time for the service to end in order once its starter is gone."""


@click.command(epilog="Example: earshot run -c /etc/earshot/config.yaml")
@configuration_options
@click.option("--exit-with-stdin", is_flag=True, hidden=True)
@pass_context
def run(context: Context, exit_with_stdin: bool) -> None:
    """Watch, analyze and alert until SIGTERM or SIGINT.

    `earshot reload` makes it read configuration and key again; one that cannot be used is refused and the
    old one kept. SIGHUP does the same, but ends a service started at a terminal, as closing it does.
    """
    _obey_signals_early()
    if exit_with_stdin:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    hide_memory()
    from daemon.config.load import load_config
    from daemon.files import file_version
    from daemon.logs import log_uncaught
    from daemon.runtime.service import run_service

    context.start_logging("INFO")
    file = context.config_file
    # Before it is read: what is written meanwhile counts as another version.
    version = file_version(file)
    config = context.config
    context.warn_of_another_database()
    log_uncaught()

    def reload() -> tuple[Config, list[int] | None]:
        version = file_version(file)
        return load_config(file, env=context.env), version

    code = run_service(config, version=version, reload=reload, env=context.env)
    click.get_current_context().exit(code)


def _obey_signals_early() -> None:
    """Handle SIGTERM and SIGHUP until the service does; by default both would kill the process."""
    from daemon.runtime.signals import hangup_ends

    # Nothing has started yet that must end in order.
    signal.signal(signal.SIGTERM, _end_at_once)
    if hangup_ends():
        signal.signal(signal.SIGHUP, _end_at_once)
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # Nothing to do: the configuration is about to be read anyway.
        signal.signal(signal.SIGHUP, lambda *_: None)


def _end_at_once(*_: object) -> None:
    os._exit(0)


def _end_with_stdin() -> None:
    """End the service when the process at the other end of stdin ends."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING_SECONDS)
    os._exit(0)
