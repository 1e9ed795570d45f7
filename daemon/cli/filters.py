"""The options that say which recordings a command is about; the same for all commands."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.options import Context, moment, say_error
from daemon.models import RecordingState, shown_path


def _folder(value: str) -> str:
    """Return the folder as the database spells it; it need not exist any more."""
    path = os.path.abspath(value)  # noqa: PTH100 - without `..`
    return shown_path("/" + path.lstrip("/"))


def _pair(value: str) -> tuple[str, str]:
    key, is_there, pattern = shown_path(value).partition("=")
    if not key or not is_there:
        raise click.BadParameter(f"{value!r} is not like caller=0151*")
    return key, pattern


# The type `shown_path` gives what was typed the form that the database has; bytes that are not UTF-8 match
# nothing.
_BEFORE_TEXT = (
    click.option(
        "--state",
        "states",
        type=click.Choice([state.value for state in RecordingState]),
        multiple=True,
        help="Repeatable.",
    ),
    click.option("--folder", metavar="DIR", type=_folder, help="Only this folder and what is below it."),
    click.option(
        "--since",
        metavar="WHEN",
        callback=moment,
        help="Only what earshot first saw since: 24h, 30d, or an ISO date.",
    ),
    click.option("--until", metavar="WHEN", callback=moment, help="Only what earshot first saw before."),
    click.option(
        "--recorded-since",
        metavar="WHEN",
        callback=moment,
        help="Only what was recorded since, by its name, else by the time of its file.",
    ),
    click.option("--recorded-until", metavar="WHEN", callback=moment, help="Only what was recorded before."),
    click.option(
        "--sentiment",
        "sentiments",
        type=click.Choice(["negative", "neutral", "positive"]),
        multiple=True,
        help="The average; repeatable.",
    ),
    click.option(
        "--intent",
        "intents",
        multiple=True,
        metavar="PATTERN",
        type=shown_path,
        help='As in rules: "*refund*"; repeatable.',
    ),
    click.option(
        "--topic", "topics", multiple=True, metavar="PATTERN", type=shown_path, help="In the same way."
    ),
)
_AFTER_TEXT = (
    click.option(
        "--where",
        multiple=True,
        metavar="KEY=PATTERN",
        type=_pair,
        help="Only with this metadata: caller=0151*; repeatable, all must hold.",
    ),
    click.option("--alerted", is_flag=True, help="Only what caused an alert that was not suppressed."),
    click.option("--not-analyzed", is_flag=True, help="Only where a feature has no result."),
)


if TYPE_CHECKING:
    from daemon.storage.filters import Filters

Command = Callable[..., None]


def filter_options(command: Command) -> Command:
    """Add the options to a command, which gets their values as `filters` (see storage/filters.py)."""
    return filter_options_with("--text")(command)


def filter_options_with(text: str) -> Callable[[Command], Command]:
    """Return the same for a command in which --text is something else: `text` is the option's name there."""
    words = click.option(
        text, "text", metavar="WORDS", type=shown_path, help="Only what `earshot search WORDS` finds."
    )
    return lambda command: _with_options(command, (*_BEFORE_TEXT, words, *_AFTER_TEXT))


def _say_what_is_unknown(filters: Filters) -> None:
    """Say on stderr which filters name what there is not: an empty answer may be a typing error."""
    from daemon.storage.unknown import unknown_names

    context = click.get_current_context().find_object(Context)
    is_named = filters.folder or filters.intents or filters.topics or filters.where
    if context is None or not is_named or not context.has_database:
        return
    for text in unknown_names(
        context.database, filters, [shown_path(path) for path in context.glance.folders]
    ):
        say_error(text)


def _with_options(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:

    @functools.wraps(command)
    def run(*arguments: Any, **given: Any) -> None:
        from daemon.storage.filters import Filters

        # The command takes the ids as its own argument; the pages have some filters that commands have not.
        known = (field.name for field in dataclasses.fields(Filters) if field.name != "ids")
        names = [name for name in known if name in given]
        filters = Filters(**{name: given.pop(name) for name in names})
        _say_what_is_unknown(filters)
        command(*arguments, filters=filters, **given)

    # The first one that is added is the last one in --help.
    command_with_options: Command = run
    for option in reversed(options):
        command_with_options = option(command_with_options)
    return command_with_options
