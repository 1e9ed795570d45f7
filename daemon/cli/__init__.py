"""The command line: the only place that prints and that picks exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import click

from daemon.cli.commands import earshot
from daemon.cli.options import Context, say_error
from daemon.errors import EXIT_FAILED, EXIT_INTERRUPTED, ConfigError, EarshotError


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
