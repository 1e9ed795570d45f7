"""Where the installed service keeps its files, for commands that use other ones.

The unit gives the service a state folder of its own. A shell that does not know it would look into another
database, find nothing there, and have everything analyzed and paid for a second time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from daemon.cli.patience import within
from daemon.watching.guard import watcher_of

FOLDER_SECONDS = 1.0
SERVICE_DATABASE = Path("/var/lib/earshot/earshot.db")
SERVICE_CONFIG = Path("/etc/earshot/config.yaml")
SERVICE_USER = "earshot"
UNITS = tuple(
    Path(folder, "earshot.service")
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
)


def other_database(path: Path) -> Path | None:
    """Return the installed service's database; None when it is this one or there is no service."""
    if path.resolve() == SERVICE_DATABASE.resolve():
        return None
    return SERVICE_DATABASE if _is_there(SERVICE_DATABASE) or has_unit() else None


def has_unit() -> bool:
    """Whether the systemd unit is installed on this machine."""
    return any(map(_is_there, UNITS))


def no_database(path: Path) -> str:
    """Say that there is none; when the service has one elsewhere, also which command uses it."""
    if other_database(path) is None:
        return f"{path}: there is no database yet; `earshot run` or `earshot scan` creates it"
    return f"{path}: there is no database here; {_service_has_another()}"


def not_running(path: Path) -> str:
    """Say that no service works on this database, and what to do."""
    if other_database(path) is not None:
        return f"not running on {path}; {_service_has_another()}"
    start = "systemctl start earshot" if has_unit() else "earshot run"
    return f"not running; start it with `{start}`"


def as_the_service(file: Path = SERVICE_CONFIG) -> str:
    """The current command as the service's user would run it, with this configuration."""
    context = click.get_current_context()
    name = context.command_path.partition(" ")[2]
    program = Path(sys.argv[0])
    shown = str(program) if program.name == "earshot" and program.is_absolute() else "earshot"
    return f"sudo -u {SERVICE_USER} {shown} {name} -c {file}"


def watched_by_others(folders: Sequence[str]) -> list[str]:
    """Return a line for each folder that another process watches, naming both."""
    found: list[str] = []

    def look() -> None:
        for folder in folders:
            with suppress(OSError):
                status = Path(folder).stat()
                watcher = watcher_of((status.st_dev, status.st_ino))
                if watcher is not None:
                    found.append(f"{folder} is watched by {watcher}, with another database")

    # A folder may be on a share that hangs.
    within(FOLDER_SECONDS, look)
    return found.copy()


def _service_has_another() -> str:
    return (
        f"the installed service has {SERVICE_DATABASE}: name that as `database` in {SERVICE_CONFIG} "
        f"where it is not, and run `{as_the_service()}`"
    )


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # This user may not look into its folder: assume that it is there.
        return True
    return True
