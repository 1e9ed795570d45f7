"""The command line: the only place that prints and that picks exit codes.

Commands are imported when they are used, so that `earshot status` does not wait for what only `run` needs.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from daemon import __version__
from daemon.cli.options import Context, configuration_options, say_error
from daemon.errors import EXIT_FAILED, EXIT_INTERRUPTED, ConfigError, EarshotError

COMMANDS = {
    "run": "daemon.cli.run:run",
    "scan": "daemon.cli.scan:scan",
    "analyze": "daemon.cli.analyze:analyze",
    "status": "daemon.cli.status:status",
    "list": "daemon.cli.recordings:list_command",
    "show": "daemon.cli.show:show",
    "search": "daemon.cli.recordings:search",
    "retry": "daemon.cli.recordings:retry",
    "check": "daemon.cli.check:check",
    "test-alert": "daemon.cli.alerts:test_alert",
    "rules": "daemon.cli.rules:rules",
    "alerts": "daemon.cli.alerts:alerts",
    "verdict": "daemon.cli.verdict:verdict",
    "demo": "daemon.cli.demo:demo",
    "engine": "daemon.cli.engine:engine",
}
"""Each command and where it is, in the order in which `--help` lists them."""


class Commands(click.Group):
    """The commands of COMMANDS, imported one by one as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of a recording's way rather than of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: earshot -c /etc/earshot/config.yaml status",
)
@click.version_option(__version__, prog_name="earshot", message="%(prog)s %(version)s")
@configuration_options
def earshot() -> None:
    """Watch folders for recordings, have Deepgram analyze them, and alert people."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments (default: the process's) ask for, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code instead of an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    context = Context()
    try:
        code = _run(arguments, context)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python's own flush at exit must not fail on it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def _run(arguments: Sequence[str] | None, context: Context) -> int:
    try:
        result = earshot.main(arguments, prog_name="earshot", standalone_mode=False, obj=context)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except ConfigError as error:
        return _failed(context, error, [str(problem) for problem in error.problems])
    except EarshotError as error:
        return _failed(context, error, [str(error)])
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _failed(context, error, [f"{place}{error.strerror or type(error).__name__}"])
    except Exception as error:  # noqa: BLE001 - the last stop before a user would see a traceback
        return _failed(
            context, error, [f"unexpected {type(error).__name__}; run again with --debug to see where"]
        )
    # What `ctx.exit(n)` leaves; a command's own return value says nothing.
    return result if isinstance(result, int) else 0


def _failed(context: Context, error: Exception, lines: list[str]) -> int:
    if context.debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            say_error(line, prefix="")
    for line in lines:
        say_error(line)
    return error.exit_code if isinstance(error, EarshotError) else EXIT_FAILED
