"""The command line: the only place that prints and that picks exit codes.

Commands are imported when they are used, so that `earshot status` does not wait for what only `run` needs.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import click

from daemon import __version__
from daemon.cli.options import Context, configuration_options, say_error
from daemon.errors import EXIT_FAILED, EXIT_INTERRUPTED, ConfigError, EarshotError

COMMANDS = {
    "run": "daemon.cli.run:run",
    "scan": "daemon.cli.scan:scan",
    "analyze": "daemon.cli.analyze:analyze",
    "status": "daemon.cli.status:status",
    "reload": "daemon.cli.reload:reload",
    "list": "daemon.cli.recordings:list_command",
    "show": "daemon.cli.show:show",
    "search": "daemon.cli.recordings:search",
    "export": "daemon.cli.export:export",
    "retry": "daemon.cli.recordings:retry",
    "reanalyze": "daemon.cli.reanalyze:reanalyze",
    "costs": "daemon.cli.costs:costs",
    "stats": "daemon.cli.stats:stats",
    "check": "daemon.cli.check:check",
    "doctor": "daemon.cli.doctor:doctor",
    "test-alert": "daemon.cli.alerts:test_alert",
    "rules": "daemon.cli.rules:rules",
    "alerts": "daemon.cli.alerts:alerts",
    "webhooks": "daemon.cli.webhooks:webhooks",
    "backup": "daemon.cli.backup:backup",
    "verdict": "daemon.cli.verdict:verdict",
    "forget": "daemon.cli.forget:forget",
    "protect": "daemon.cli.protect:protect",
    "demo": "daemon.cli.demo:demo",
    "engine": "daemon.cli.engine:engine",
}
"""Each command and where it is, in the order in which `--help` lists them."""


class Commands(click.Group):
    """The commands of COMMANDS, imported one by one as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a recording meets them."""
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
    _open_streams()
    context = Context()
    try:
        code = _run(arguments, context)
    except OSError:
        # The reader (`| head`) has closed the pipe, or not even an error can be written.
        code = EXIT_FAILED
    code = _flushed(code, context)
    if code == EXIT_INTERRUPTED:
        # Not by sys.exit; see daemon/__main__.py.
        os._exit(code)
    sys.exit(code)


def _open_streams() -> None:
    """Set up the standard streams so that nothing printed to them makes the command fail."""
    # A stream that the caller closed (`>&-`) is None, and the next file opened would get its number.
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _nothing(number, mode))
    for stream in (sys.stdout, sys.stderr):
        # Print the code of a character that the terminal cannot show, instead of failing.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _nothing(number: int, mode: str) -> IO[Any]:
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return open(number, mode, encoding="utf-8", closefd=False)


def _flushed(code: int, context: Context) -> int:
    """Write out all output, return the exit code; drop what cannot be written, or Python fails again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if code == 0 and not isinstance(error, BrokenPipeError):
                with suppress(OSError):
                    _failed(context, error, [_what_failed(error)])
            code = code or EXIT_FAILED
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


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
        return _failed(context, error, [_what_failed(error)])
    except Exception as error:  # noqa: BLE001 - the last stop before a user would see a traceback
        return _failed(
            context, error, [f"unexpected {type(error).__name__}; run again with --debug to see where"]
        )
    # An int is the code of `ctx.exit(n)`; commands themselves return nothing.
    return result if isinstance(result, int) else 0


def _what_failed(error: OSError) -> str:
    """Return file and reason. Two failures name no file: writing output, reading the current folder."""
    reason = error.strerror or type(error).__name__
    if error.filename:
        return f"{os.fsdecode(error.filename)}: {reason}"
    if isinstance(error, FileNotFoundError):
        return "the current folder is no longer there; change to another one"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return f"the output cannot be written: {reason}"
    return reason


def _failed(context: Context, error: Exception, lines: list[str]) -> int:
    if context.debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            say_error(line, prefix="")
    for line in lines:
        say_error(line)
    return error.exit_code if isinstance(error, EarshotError) else EXIT_FAILED
