"""`earshot run`: the service, in the foreground."""

from __future__ import annotations

import click

from daemon.cli.options import Context, configuration_options, pass_context


@click.command(epilog="Example: earshot run -c /etc/earshot/config.yaml")
@configuration_options
@pass_context
def run(context: Context) -> None:
    """Watch, analyze and alert until SIGTERM or SIGINT.

    SIGHUP reads configuration and key again; one that cannot be used is refused and the old one kept.
    """
    from daemon.config.load import load_config
    from daemon.logs import log_uncaught
    from daemon.service import run_service

    context.start_logging("INFO")
    config = context.config
    file = context.config_file
    log_uncaught()
    code = run_service(config, reload=lambda: load_config(file, env=context.env), env=context.env)
    click.get_current_context().exit(code)
