"""The commands by what people want of them, found by name also when it is misspelled, and `help` for each.

Commands are imported when they are used, so that `earshot status` does not wait for what only `run` needs.
"""

from __future__ import annotations

import importlib

import click

from daemon.cli.groups import Group
from daemon.cli.options import configuration_options
from daemon.version import full_version

GROUPS = {
    "Everyday": {
        "list": ("daemon.cli.recordings:list_command", "List recordings, the newest first."),
        "show": ("daemon.cli.show:show", "Show what was found in a recording, and who said what."),
        "search": ("daemon.cli.search:search", "Search transcripts, summaries and names for WORDS."),
        "stats": ("daemon.cli.stats:stats", "Show in figures how conversations went, and about what."),
        "costs": ("daemon.cli.costs:costs", "Show what was spent on recordings, by estimate."),
        "export": ("daemon.cli.export:export", "Write recordings as csv, jsonl, txt, vtt, srt, md or html."),
        "retry": ("daemon.cli.retry:retry", "Put failed or skipped recordings back in the queue."),
        "reanalyze": ("daemon.cli.reanalyze:reanalyze", "Analyze again, by the present rules and settings."),
        "forget": ("daemon.cli.forget:forget", "Erase recordings and every trace of them in the database."),
        "protect": ("daemon.cli.protect:protect", "Keep recordings from retention and `earshot forget`."),
    },
    "Alerts": {
        "alerts": ("daemon.cli.alerts:alerts", "List alerts, those held back or given up with the reason."),
        "verdict": ("daemon.cli.verdict:verdict", "Say whether an alert was worth it."),
        "rules": ("daemon.cli.rules:rules", "Try the rules of the configuration."),
        "test-alert": ("daemon.cli.alerts:test_alert", "Send a sample alert to every URL of DESTINATION."),
        "webhooks": (
            "daemon.cli.webhooks:webhooks",
            "List messages to other programs, and why some did not arrive.",
        ),
    },
    "Operate": {
        "run": ("daemon.cli.run:run", "Watch, analyze and alert until SIGTERM or SIGINT."),
        "scan": ("daemon.cli.scan:scan", "Find and analyze what is waiting, send alerts, then exit."),
        "status": ("daemon.cli.status:status", "Show counts, what is paused and why, folders and alerts."),
        "check": ("daemon.cli.check:check", "Check the configuration and everything that it names."),
        "doctor": (
            "daemon.cli.doctor:doctor",
            "Check everything, the running service and its database included.",
        ),
        "reload": (
            "daemon.cli.reload:reload",
            "Have the running service read its configuration and key again.",
        ),
        "backup": ("daemon.cli.backup:backup", "Copy the database to FILE while the service goes on."),
        "web": ("daemon.cli.web:web", "Serve the web pages until SIGTERM or SIGINT."),
    },
    "Try": {
        "demo": ("daemon.cli.demo:demo", "Show on a sample call what is found in it, and the alert."),
        "analyze": (
            "daemon.cli.analyze:analyze",
            "Analyze files and hosted recordings now and print the result.",
        ),
        "engine": ("daemon.cli.engine:engine", "Run the embedded engine alone, as an HTTP server."),
    },
    "Help": {
        "help": ("daemon.cli.commands:help_command", "Show what a command does, as its --help."),
        "completion": (
            "daemon.cli.completion:completion",
            "Print the script that completes commands and options in a shell.",
        ),
    },
}
"""Each command, where it is and what it does, under the headings and in the order of `--help`.

What it does is the first sentence of the command's own help, here so that `--help` imports none of them.
"""

COMMANDS = {name: facts for commands in GROUPS.values() for name, facts in commands.items()}


class Commands(Group):
    """The commands of GROUPS, imported one by one as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def headings(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return the names and what they do, under the headings of GROUPS."""
        return {
            heading: [(name, does) for name, (_, does) in commands.items()]
            for heading, commands in GROUPS.items()
        }


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: earshot -c /etc/earshot/config.yaml status",
)
@click.version_option(full_version(), "-V", "--version", prog_name="earshot", message="%(prog)s %(version)s")
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
