"""Install earshot's package in a clean Debian under systemd, and see that the service stands what it should.

A line for each scenario; exit code 1 when one of them failed. See scripts/system-test.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.system import engine, upgrades
from tests.system import scenarios as play
from tests.system.machine import Machine, machine, made_root
from tests.system.packages import built
from tests.system.scene import Skipped

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "earshot", "system-test")
Scenario = Callable[[Machine], str]


def main() -> int:
    """Play the scenarios that are asked for; returns the exit code."""
    # In the background of a shell it is ignored, by all that is started as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = _options()
    base = made_root(options.roots)
    with tempfile.TemporaryDirectory(prefix="earshot-system-", dir=options.roots) as folder:
        place = Path(folder)
        package = options.package or built(place)
        before = options.before and _package_of(options.before, place)
        failed = 0
        with machine(base, place) as one:
            for name, scenario in _scenarios(package, before, options.engine, place):
                if not options.only or name in ("install", *options.only):
                    failed += _played(name, scenario, one)
                if name == "install" and failed:
                    return 1
        if not options.only or "older cgroups" in options.only:
            with machine(base, place, unified=False) as other:
                failed += _played("older cgroups", partial(_on_older_cgroups, package=package), other)
    return 1 if failed else 0


def _scenarios(
    package: Path, before: Path | None, hearing: Path | None, place: Path
) -> Iterator[tuple[str, Scenario]]:
    yield "install", lambda it: upgrades.installs(it, package)
    yield "papers", play.papers
    yield "first alert", play.first_alert
    yield "status", play.status_for_everybody
    yield "groups", play.groups
    yield "reload", play.reloads
    yield "keys", play.keys
    yield "kill -9", play.kills
    yield "SIGSTOP", play.stands_still
    yield "78", play.unusable
    yield "stop", play.stops
    yield "large replies", play.too_large_a_reply
    yield "moves", play.moves
    yield "leases", play.leases
    yield "root's engine", play.root_runs_no_engine
    yield "Control-C", play.interrupts
    yield "exposure", play.exposure
    yield "reboot", play.reboots
    yield "engine", lambda it: engine.hears(it, package, _given(hearing))
    yield "engine alone", engine.serves_others
    yield "engine's end", lambda it: engine.ends(it, package, _given(hearing))
    yield "upgrade", lambda it: upgrades.upgrades(it, before or package, package, place)
    yield "downgrade", lambda it: upgrades.downgrades(it, package)
    yield "remove, purge", upgrades.ends


def _given(package: Path | None) -> Path:
    if package is None:
        raise Skipped("not asked for: --engine DEB")
    return package


def _on_older_cgroups(it: Machine, *, package: Path) -> str:
    """With the older cgroup trees, one for each controller, the service works as well."""
    upgrades.installs(it, package)
    return play.first_alert(it)


def _played(name: str, scenario: Scenario, it: Machine) -> int:
    """Play one and print a line about it; returns how many failed."""
    began = time.monotonic()
    word, failed = "ok", 0
    try:
        said = scenario(it)
    except Skipped as reason:
        word, said = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - the next scenario sets all up anew
        word, failed = "FAILED", 1
        said = f"{type(error).__name__}: {error}\n{it.log()}"
    print(f"{word:<8}{time.monotonic() - began:5.1f} s  {name}: {said}", flush=True)  # noqa: T201
    return failed


def _package_of(given: str, place: Path) -> Path:
    return Path(given) if given.endswith(".deb") else built(place, given)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/system-test", description=__doc__)
    parser.add_argument("--roots", type=Path, default=CACHE, metavar="DIR", help="where the root is kept")
    parser.add_argument("--package", type=Path, metavar="DEB", help="instead of one built from this checkout")
    parser.add_argument("--engine", type=Path, metavar="DEB", help="the package of the embedded engine")
    parser.add_argument("--from", dest="before", metavar="DEB|COMMIT", help="what an upgrade begins with")
    parser.add_argument("only", nargs="*", metavar="SCENARIO", help="these alone, by their names as printed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
