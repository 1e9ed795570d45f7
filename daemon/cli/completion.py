"""`earshot completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from daemon.cli.options import configuration_options

VARIABLE = "_EARSHOT_COMPLETE"
"""Where the shell's function asks for words; click goes by the program's name."""


@click.command(epilog="Example: earshot completion bash > /etc/bash_completion.d/earshot")
@configuration_options
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    bash: earshot completion bash > /etc/bash_completion.d/earshot

    zsh: earshot completion zsh > /usr/local/share/zsh/site-functions/_earshot

    fish: earshot completion fish > /etc/fish/completions/earshot.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - it is one of the choices
    click.echo(found(ctx.find_root().command, {}, "earshot", VARIABLE).source())
