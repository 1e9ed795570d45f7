"""Groups of commands: what --help says of each is never cut, and a misspelled name gets the nearest ones."""

from __future__ import annotations

import click

LONGEST = 200
"""More characters than any first sentence has."""


class Group(click.Group):
    """A group whose --help has each command's whole first sentence."""

    def headings(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return the commands by the headings under which --help lists them: name, and what it does."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {"Commands": [(name, each.get_short_help_str(LONGEST)) for name, each in found if each]}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; its error offers the nearest ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # By itself click compares with the commands that were added to it, not with those it can find.
            names = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        widest = max(map(len, self.list_commands(ctx)))
        for heading, commands in self.headings(ctx).items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), does) for name, does in commands])
