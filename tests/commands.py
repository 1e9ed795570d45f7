"""Command lines as people read them in documents and messages: do they exist, with these options?"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from daemon.cli.commands import earshot
from daemon.cli.options import Context

PLACEHOLDERS = {
    "ID": "1",
    "NAME": "unhappy caller",
    "RULE": "unhappy caller",
    "DESTINATION": "team",
    "KEY": "agent",
}
"""What stands for a value in documents, and one that would be accepted."""


def quoted_commands(text: str) -> list[str]:
    """Return what stands between backquotes and begins with `earshot` and a command."""
    return [each for each in re.findall(r"`(earshot [^`]*)`", text) if "…" not in each]


def shell_block(containing: str, page: str = "README.md") -> list[str]:
    """Return the lines of the block of shell in a page that contains this."""
    text = Path(__file__).parents[1].joinpath(page).read_text("utf-8")
    blocks: list[str] = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    return next(block for block in blocks if containing in block).splitlines()


def usage_error(line: str) -> str | None:
    """Return why a command line is none; the command itself is not run."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]
    command: click.Command = earshot
    context = click.Context(earshot, info_name="earshot", obj=Context(env={}))
    while isinstance(command, click.Group):
        names = command.list_commands(context)
        at = next((number for number, word in enumerate(words) if word in names), None)
        if at is None:
            break
        found = command.get_command(context, words[at])
        assert found is not None
        context = click.Context(found, info_name=words[at], parent=context, obj=context.obj)
        command, words = found, words[at + 1 :]
    if command is earshot and any(not word.startswith("-") for word in words):
        return f"no such command: {line}"
    try:
        command.make_context(context.info_name, words, parent=context.parent, obj=context.obj)
    except click.exceptions.Exit:
        # --help and --version.
        return None
    except click.ClickException as error:
        return error.format_message()
    return None
