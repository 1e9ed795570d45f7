"""What every command shares: options that name the configuration, and what is made from it on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli.output import ON_TERMINAL_ROWS, print_line, shown_zone, use_zone
from daemon.errors import ConfigError, ConfigProblem, StoreError
from daemon.logs import arrange, redacted, register_secret, set_up
from daemon.models import iso

if TYPE_CHECKING:
    from daemon.config.find import Glance
    from daemon.config.models import Config
    from daemon.storage.connection import Database

Function = TypeVar("Function", bound=Callable[..., Any])

VARIABLE = "EARSHOT_CONFIG"
SYSTEM_FILE = Path("/etc/earshot/config.yaml")
LOCAL_FILE = Path("config.yaml")
LARGEST_ID = 2**63 - 1
"""SQLite's largest integer."""


class Context:
    """One call of the command line: its common options, and what is made from them when first needed.

    `env` is where the configuration's variables, the key and the default file are looked up.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.env = env
        self.file: Path | None = None
        self.debug = False
        self._logging = False

    @cached_property
    def config_file(self) -> Path:
        """The configuration file to use; ConfigError when none is found."""
        return self.file or _default_file(self.env)

    @cached_property
    def config(self) -> Config:
        """The loaded configuration, with logging set up so that no secret of it is ever shown."""
        return self._loaded(asks_apprise=True)

    @cached_property
    def unsent_config(self) -> Config:
        """The same for commands that send no alert: whether Apprise knows the URLs is not asked."""
        if "config" in vars(self) or not self.config_file.is_file():
            # A pipe can be read once only.
            return self.config
        return self._loaded(asks_apprise=False)

    def _loaded(self, *, asks_apprise: bool) -> Config:
        from daemon.config.load import load_config
        from daemon.config.secrets import nameless_below
        from daemon.config.times import zone_of

        if not self._logging:
            self.start_logging()
        config = load_config(self.config_file, env=self.env, asks_apprise=asks_apprise)
        _register_secrets(config, self.env)
        arrange(config.log_format, nameless_below=nameless_below(config))
        use_zone(zone_of(config.timezone))
        return config

    @cached_property
    def glance(self) -> Glance:
        """What commands that only show need of the configuration, whatever else is wrong with it."""
        from daemon.config.find import glance_at, glance_of

        if "config" in vars(self) or not self.config_file.is_file():
            with suppress(ConfigError):
                return glance_of(self.config)
        if not self._logging:
            self.start_logging()
        found = glance_at(self.config_file, self.env)
        use_zone(found.zone)
        return found

    @cached_property
    def is_taken_over(self) -> bool:
        """Whether the service has taken over the file as it is now: then no fault is left in it.

        One that has ended by now counts, too, unless the file has variables: they may be others by now.
        """
        from daemon.files import file_version
        from daemon.storage.lock import taken_file

        version, known = file_version(self.config_file), self.glance
        if version is None or known.database is None:
            return False
        return taken_file(known.database, even_if_ended=not known.has_variables) == version

    @property
    def database_file(self) -> Path:
        """Path of the database, even if the configuration has other faults; ConfigError if not found."""
        return self.glance.database or self.config.database

    @cached_property
    def database(self) -> Database:
        """The existing database, open until the command ends; StoreError when there is none yet."""
        from daemon.cli.places import no_database
        from daemon.storage.database import open_existing

        if not self.has_database:
            raise StoreError(no_database(self.database_file))
        db = open_existing(self.database_file)
        click.get_current_context().call_on_close(db.close)
        return db

    @cached_property
    def has_database(self) -> bool:
        """False before the first run; StoreError when this user has no access."""
        from daemon.cli.places import as_the_service

        try:
            self.database_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(
                f"{self.database_file}: the database cannot be read ({error.strerror}); "
                f"run this as the user of the service: `{as_the_service(self.config_file)}`"
            ) from error
        return True

    def warn_of_another_database(self) -> None:
        """Warn, before a command makes a database, that the installed service has one elsewhere."""
        from daemon.cli.places import no_database, other_database

        if not self.has_database and other_database(self.database_file) is not None:
            say_error(f"warning: {no_database(self.database_file)}")

    def start_logging(self, level: str = "WARNING") -> None:
        """Log to stderr from this level up; `--debug` lowers it."""
        self._logging = True
        set_up("DEBUG" if self.debug else level)


pass_context = click.make_pass_decorator(Context, ensure=True)
"""For commands: gives them the Context as their first argument."""


def configuration_options(command: Function) -> Function:
    """Add `-c/--config` and `--debug`, which are understood before and after a command's name."""
    command = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_keep_debug,
        help="Log everything, and show where an error comes from.",
    )(command)
    return click.option(
        "-c",
        "--config",
        # The loader checks whether it can be read: an unusable file exits with 78, not as wrong usage.
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        expose_value=False,
        # Before the other options: times are read in the zone of the configuration.
        is_eager=True,
        callback=_keep_file,
        help=f"The configuration; default: ${VARIABLE}, {SYSTEM_FILE}, ./{LOCAL_FILE}.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
"""Adds `--json`, passed to the command as `as_json`."""


class _RowNumber(click.IntRange):
    """From 1 to what SQLite can count; --help names the first bound alone."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if number > LARGEST_ID:
            self.fail(f"{number} is larger than any number of rows.", param, ctx)
        return number


row_id = _RowNumber()
row_id.name = "id"
"""The type of an argument that is the id of a row."""

row_limit = _RowNumber()
"""The type of a number of rows."""

limit_option = click.option(
    "--limit",
    metavar="N",
    type=row_limit,
    help=f"The newest N only; default: {ON_TERMINAL_ROWS} on a terminal, else all.",
)
"""Adds `--limit`, passed to the command as `limit`."""


def known_group(value: str, groups: Iterable[str]) -> str:
    """Return the value of `--by` when it is one of `groups` or `metadata.KEY`."""
    if value in groups or value.removeprefix("metadata.").strip() not in ("", value):
        return value
    raise click.BadParameter(f"{value!r} is none of {', '.join(groups)}, metadata.KEY")


def moment(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return `24h` (ago) or an ISO date or time as stored, in UTC; without a zone it is in the configured."""
    from daemon.config.times import moment_meant

    if value is None:
        return None
    with suppress(ConfigError):
        _ = ctx.ensure_object(Context).glance
    try:
        return iso(moment_meant(value, datetime.now(UTC), shown_zone()))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is neither like 24h or 30d nor a date like 2026-01-31") from None


def duration(ctx: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Parse `90s`, `2h` or `30d`."""
    from daemon.config.units import parse_duration

    try:
        return timedelta(seconds=parse_duration(value))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no duration such as 90s, 2h or 30d") from None


def say_error(line: str, *, prefix: str = "earshot: ") -> None:
    """Print one line on stderr, without secrets and terminal control characters."""
    print_line(prefix, redacted(line), indent=2 if prefix else 0, err=True)


def _keep_file(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Context).file = value


def _keep_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Context).debug = True


def _default_file(env: Mapping[str, str]) -> Path:
    named = env.get(VARIABLE)
    if named:
        return Path(named)
    for file in (SYSTEM_FILE, LOCAL_FILE):
        try:
            file.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            # It exists, but this user has no access: reading it says so; taking another would hide it.
            return file
        return file
    problem = (
        f"none was found; looked for ${VARIABLE} (not set), {SYSTEM_FILE} and "
        f"{LOCAL_FILE.absolute()}; write one of them, or name a file with -c FILE"
    )
    raise ConfigError("configuration", [ConfigProblem("configuration", None, "", problem)])


def _register_secrets(config: Config, env: Mapping[str, str]) -> None:
    from daemon.config.secrets import known_secrets

    # The command that needs a key file or a URL file reports its faults; others such as `status` do not.
    with suppress(ConfigError):
        for secret in known_secrets(config, env):
            register_secret(secret)
