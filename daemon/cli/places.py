"""Where the installed service keeps its things, for commands that are run with others.

The unit gives the service a state folder of its own. A shell that does not know it would look into another
database, find nothing there, and have everything analyzed and paid for a second time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

SERVICE_DATABASE = Path("/var/lib/earshot/earshot.db")
SERVICE_CONFIG = Path("/etc/earshot/config.yaml")
SERVICE_USER = "earshot"
UNITS = tuple(
    Path(folder, "earshot.service")
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
)


def other_database(path: Path) -> Path | None:
    """The database of the installed service where it is another one than this; None where there is none."""
    if path.resolve() == SERVICE_DATABASE.resolve():
        return None
    return SERVICE_DATABASE if _is_there(SERVICE_DATABASE) or has_unit() else None


def has_unit() -> bool:
    """Whether the systemd unit is installed on this machine."""
    return any(map(_is_there, UNITS))


def no_database(path: Path) -> str:
    """That there is none, in a line, with the command that works where the service has one elsewhere."""
    if other_database(path) is None:
        return f"{path}: there is no database yet; `earshot run` or `earshot scan` creates it"
    return f"{path}: there is no database here; {_service_has_another()}"


def not_running(path: Path) -> str:
    """What to say of a database that no service works on, and what to do."""
    if other_database(path) is not None:
        return f"not running on {path}; {_service_has_another()}"
    start = "systemctl start earshot" if has_unit() else "earshot run"
    return f"not running; start it with `{start}`"


def as_the_service() -> str:
    """The present command as the service's user would run it."""
    context = click.get_current_context()
    name = context.command_path.partition(" ")[2]
    program = Path(sys.argv[0])
    shown = str(program) if program.name == "earshot" and program.is_absolute() else "earshot"
    return f"sudo -u {SERVICE_USER} {shown} {name} -c {SERVICE_CONFIG}"


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
        # In a folder that this user may not look into: it is somebody's.
        return True
    return True
