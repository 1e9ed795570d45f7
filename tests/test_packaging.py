"""What is shipped fits together: version, scripts, the systemd unit and the command that it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import tomllib
from ipaddress import IPv4Network, collapse_addresses, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

import daemon
from tests import processes

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "earshot.service"
BACKUP_UNIT = ROOT / "systemd" / "earshot-backup.service"
ENGINE_UNIT = ROOT / "systemd" / "earshot-engine.service"
ENGINE_DROP_IN = ROOT / "systemd" / "earshot.service.d" / "engine.conf"
PACKAGED = [each for each in (ROOT / "packaging").rglob("*") if each.is_file() and not each.suffix]
SCRIPTS = sorted([*(ROOT / "scripts").iterdir(), *PACKAGED, ROOT / ".ci" / "run"])


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def unit_values(key: str, unit: Path = UNIT) -> list[str]:
    """Every value of a key in the unit, in order."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text("utf-8"), re.MULTILINE)


def test_version_has_one_source() -> None:
    settings = project()
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "daemon/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", daemon.__version__)


def test_changelog_has_the_version_or_what_comes_next() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert {"Unreleased", daemon.__version__} & set(headings)


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    settings = project()["project"]
    everything = [*settings["dependencies"], *settings["optional-dependencies"]["engine"]]
    everything += [
        each for each in settings["optional-dependencies"]["dev"] if not each.startswith("earshot")
    ]
    assert [each for each in everything if ">=" not in each or "<" not in each] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_is_executable_and_its_syntax_right(script: Path) -> None:
    assert script.stat().st_mode & stat.S_IXUSR
    first_line = script.read_text("utf-8").partition("\n")[0]
    shell = "bash" if first_line == "#!/usr/bin/env bash" else "sh"
    assert first_line in ("#!/bin/sh", "#!/usr/bin/env bash")
    subprocess.run([shell, "-n", str(script)], check=True)


def test_a_python_that_is_too_old_is_refused_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 || exit 1\n')
    old.chmod(0o755)
    run = subprocess.run(
        [ROOT / "scripts" / "venv", "dev"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "Python 3.9.2 is too old" in run.stderr


@pytest.mark.parametrize(
    ("unit", "command"), [(UNIT, "run"), (BACKUP_UNIT, "backup"), (ENGINE_UNIT, "engine")]
)
def test_unit_runs_a_command_that_exists(unit: Path, command: str) -> None:
    program, *arguments = shlex.split(unit_values("ExecStart", unit)[0])
    assert Path(program).name in project()["project"]["scripts"]
    assert arguments[0] == command
    described = processes.run(command, "--help", env=os.environ, cwd=ROOT)
    assert described.returncode == 0, described.stderr
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in described.stdout


def test_unit_waits_longer_for_the_end_than_the_service_drains() -> None:
    stop_seconds = int(unit_values("TimeoutStopSec")[0].removesuffix("s"))
    assert stop_seconds > 75, "analyzer.drain is 75s by default"


def test_unit_is_not_restarted_for_an_unusable_configuration() -> None:
    from daemon.errors import EXIT_UNUSABLE

    assert unit_values("RestartPreventExitStatus") == [str(EXIT_UNUSABLE)]


def test_unit_and_its_user_and_folders_agree() -> None:
    user = unit_values("User")[0]
    users = (ROOT / "systemd" / "sysusers.d" / "earshot.conf").read_text("utf-8")
    assert re.search(rf"^u\s+{user}\s", users, re.MULTILINE)
    folders = (ROOT / "systemd" / "tmpfiles.d" / "earshot.conf").read_text("utf-8")
    needed = [Path(shlex.split(unit_values("ExecStart")[0])[-1])]
    needed += [Path(value.split(":")[1]) for value in unit_values("LoadCredential")]
    for path in needed:
        assert re.search(rf"^d\s+{re.escape(str(path.parent))}\s", folders, re.MULTILINE)


def test_backup_unit_has_the_user_the_places_and_the_timer_that_it_needs() -> None:
    assert unit_values("User", BACKUP_UNIT) == unit_values("User")
    (command,) = unit_values("ExecStart", BACKUP_UNIT)
    target = shlex.split(command)[2].rstrip("/")
    state = f"/var/lib/{unit_values('StateDirectory')[0]}"
    assert unit_values("ReadWritePaths", BACKUP_UNIT) == [f"{state} {target}"]
    folders = (ROOT / "systemd" / "tmpfiles.d" / "earshot.conf").read_text("utf-8")
    assert re.search(rf"^d\s+{re.escape(target)}\s+0700 earshot earshot", folders, re.MULTILINE)
    assert BACKUP_UNIT.with_suffix(".timer").exists()


def test_the_engines_drop_in_alone_lets_memory_be_made_executable() -> None:
    assert unit_values("MemoryDenyWriteExecute") == ["yes"]
    assert unit_values("MemoryDenyWriteExecute", ENGINE_DROP_IN) == ["no"]
    high, most = unit_values("MemoryHigh", ENGINE_DROP_IN) + unit_values("MemoryMax", ENGINE_DROP_IN)
    assert int(high.removesuffix("%")) < int(most.removesuffix("%")) < 100
    cache = f"/var/cache/{unit_values('CacheDirectory', ENGINE_DROP_IN)[0]}"
    assert unit_values("NoExecPaths", ENGINE_DROP_IN) == [cache]
    assert unit_values("RuntimeDirectoryMode", ENGINE_DROP_IN) == ["0700"]


def test_the_engines_unit_is_as_closed_as_the_services_and_reaches_none_of_its_files() -> None:
    closing = re.findall(
        r"^((?:Protect|Private|Restrict|NoNew|Capability|Device|IPAddress|SystemCallArch)\w*)=",
        UNIT.read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(set(closing)) > 20
    for key in set(closing):
        assert unit_values(key, ENGINE_UNIT) == unit_values(key), key
    (hidden,) = unit_values("InaccessiblePaths", ENGINE_UNIT)
    assert {"-/srv", "-/etc/earshot", f"-/var/lib/{unit_values('StateDirectory')[0]}"} <= set(hidden.split())
    assert unit_values("DynamicUser", ENGINE_UNIT) == ["yes"]


def test_folders_are_bound_since_read_only_paths_would_undo_that_nothing_in_them_can_be_run() -> None:
    assert unit_values("BindReadOnlyPaths") == ["-/srv/recordings"]
    assert unit_values("ReadOnlyPaths") == []


def test_unit_is_never_given_up_while_it_may_still_start() -> None:
    assert unit_values("StartLimitIntervalSec") == ["0"]


def test_unit_lets_nothing_be_run_that_was_dropped_or_stored() -> None:
    denied = {path.removeprefix("-") for value in unit_values("NoExecPaths") for path in value.split()}
    # systemd mounts these apart from /, which does not cover them then; checked with systemd 252.
    apart = {f"/var/lib/{unit_values('StateDirectory')[0]}", "/tmp", "/var/tmp", "/dev/shm", "/run"}
    assert denied >= {"/", "/srv/recordings", *apart}
    allowed = {path.removeprefix("-") for value in unit_values("ExecPaths") for path in value.split()}
    assert not denied & allowed
    program = Path(shlex.split(unit_values("ExecStart")[0])[0])
    assert str(program.parent) in allowed
    assert not allowed & {"/usr", "/usr/bin", "/bin", "/opt/earshot"}


def test_unit_reaches_everything_but_the_keys_of_a_cloud_machine() -> None:
    assert unit_values("IPAddressDeny") == ["any"]
    allowed = [ip_network(word) for value in unit_values("IPAddressAllow") for word in value.split()]
    left_out = [IPv4Network("0.0.0.0/0")]
    for network in allowed:
        if isinstance(network, IPv4Network):
            holding = next(each for each in left_out if network.subnet_of(each))
            left_out.remove(holding)
            left_out += holding.address_exclude(network)
    denied = sorted(map(str, collapse_addresses(left_out)))
    assert denied == ["100.100.100.200/32", "169.254.0.0/16", "224.0.0.0/3"]
    for address in ("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fe80::1", "ff02::1"):
        assert not any(ip_address(address) in network for network in allowed), address
    for address in ("::1", "2001:db8::1", "fd12:3456::1", "fc00::1", "fdff::1", "64:ff9b::808:808"):
        assert any(ip_address(address) in network for network in allowed), address


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="scripts/check-unit says how to get systemd-analyze"
)
def test_unit_is_understood_by_systemd_and_exposes_little() -> None:
    run = subprocess.run([ROOT / "scripts" / "check-unit"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_shipped_files_name_no_place_of_a_developer() -> None:
    shipped = [ROOT / "pyproject.toml", *SCRIPTS, *(ROOT / "systemd").rglob("*.*"), *ROOT.glob("*.md")]
    for path in shipped:
        if path.is_file():
            assert not re.search(r"/root/\w|/work/|--index-url", path.read_text("utf-8")), path
