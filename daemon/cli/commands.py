"""The commands by what people want of them, found by name also when it is misspelled, and `help` for each.

Commands are imported when they are used, so that `earshot status` does not wait for what only `run` needs.
"""

from __future__ import annotations

import importlib

import click

from daemon import __version__
from daemon.cli.groups import Group
from daemon.cli.options import configuration_options

GROUPS = {
    "Everyday": {
        "list": "daemon.cli.recordings:list_command",
        "show": "daemon.cli.show:show",
        "search": "daemon.cli.search:search",
        "stats": "daemon.cli.stats:stats",
        "costs": "daemon.cli.costs:costs",
        "export": "daemon.cli.export:export",
        "retry": "daemon.cli.retry:retry",
        "reanalyze": "daemon.cli.reanalyze:reanalyze",
        "forget": "daemon.cli.forget:forget",
        "protect": "daemon.cli.protect:protect",
    },
    "Alerts": {
        "alerts": "daemon.cli.alerts:alerts",
        "verdict": "daemon.cli.verdict:verdict",
        "rules": "daemon.cli.rules:rules",
        "test-alert": "daemon.cli.alerts:test_alert",
        "webhooks": "daemon.cli.webhooks:webhooks",
    },
    "Operate": {
        "run": "daemon.cli.run:run",
        "scan": "daemon.cli.scan:scan",
        "status": "daemon.cli.status:status",
        "check": "daemon.cli.check:check",
        "doctor": "daemon.cli.doctor:doctor",
        "reload": "daemon.cli.reload:reload",
        "backup": "daemon.cli.backup:backup",
        "web": "daemon.cli.web:web",
    },
    "Try": {
        "demo": "daemon.cli.demo:demo",
        "analyze": "daemon.cli.analyze:analyze",
        "engine": "daemon.cli.engine:engine",
    },
    "Help": {
        "help": "daemon.cli.commands:help_command",
        "completion": "daemon.cli.completion:completion",
    },
}
"""Each command and where it is, under the headings and in the order in which `--help` lists them."""

PLACES = {name: place for commands in GROUPS.values() for name, place in commands.items()}


class Commands(Group):
    """The commands of GROUPS, imported one by one as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `--help`."""
        return list(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        place = PLACES.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def headings(self, ctx: click.Context) -> dict[str, list[str]]:
        """Return the names under the headings of GROUPS."""
        return {heading: list(commands) for heading, commands in GROUPS.items()}


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: earshot -c /etc/earshot/config.yaml status",
)
@click.version_option(__version__, "-V", "--version", prog_name="earshot", message="%(prog)s %(version)s")
@configuration_options
def earshot() -> None:
    """Watch folders for recordings, have Deepgram analyze them, and alert people."""


@click.command("help", epilog="Example: earshot help rules test")
@configuration_options
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show what a command does, as its --help."""
    parent = ctx.parent
    assert parent is not None  # noqa: S101 - it is a command of `earshot`
    command: click.Command = parent.command
    for word in words:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"`{parent.command_path}` has no commands of its own.", ctx=parent)
        name, found, _ = command.resolve_command(parent, [word])
        assert found is not None  # noqa: S101 - click raises when it is unknown
        command = found
        parent = click.Context(command, info_name=name, parent=parent)
    click.echo(command.get_help(parent))
