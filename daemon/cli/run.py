"""`earshot run`: the service, in the foreground."""

from __future__ import annotations

import os
import signal

import click

from daemon.cli.options import Context, configuration_options, pass_context
from daemon.cli.privacy import hide_memory


@click.command(epilog="Example: earshot run -c /etc/earshot/config.yaml")
@configuration_options
@pass_context
def run(context: Context) -> None:
    """Watch, analyze and alert until SIGTERM or SIGINT.

    SIGHUP reads configuration and key again; one that cannot be used is refused and the old one kept.
    """
    _obey_signals_early()
    hide_memory()
    from daemon.config.load import load_config
    from daemon.logs import log_uncaught
    from daemon.runtime.service import run_service

    context.start_logging("INFO")
    config = context.config
    file = context.config_file
    log_uncaught()
    code = run_service(config, reload=lambda: load_config(file, env=context.env), env=context.env)
    click.get_current_context().exit(code)


def _obey_signals_early() -> None:
    """What signals mean until the service listens to them itself; by default both would kill the process."""
    # The configuration is about to be read.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Nothing has begun that would have to end in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
