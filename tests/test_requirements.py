"""requirements/: what scripts/venv installs is exact, hashed, complete, and within the project's ranges."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = ("build", "dev", "engine", "run")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def wanted(name: str) -> list[Requirement]:
    """What pyproject.toml itself asks for in this file."""
    settings = project()
    extras = settings["project"]["optional-dependencies"]
    if name == "build":
        return [Requirement(each) for each in settings["build-system"]["requires"]]
    more = {"run": [], "engine": extras["engine"], "dev": [*extras["engine"], *extras["dev"]]}[name]
    everything = [Requirement(each) for each in [*settings["project"]["dependencies"], *more]]
    return [each for each in everything if each.name != "earshot"]


def locked(name: str) -> dict[NormalizedName, Requirement]:
    """Each package of a file; every line is either a part of one or a comment."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line)
        assert hashes, f"{name}: no hash: {line}"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), line
        parsed = Requirement(requirement)
        assert re.fullmatch(r"==[^*,]+", str(parsed.specifier)), f"{name}: no exact version: {line}"
        found[canonicalize_name(parsed.name)] = parsed
    return found


def version(requirement: Requirement) -> str:
    return next(iter(requirement.specifier)).version


@pytest.mark.parametrize("name", FILES)
def test_every_version_is_within_the_range_that_the_project_names(name: str) -> None:
    packages = locked(name)
    for requirement in wanted(name):
        chosen = packages.get(canonicalize_name(requirement.name))
        assert chosen is not None, f"{requirement.name} is not in requirements/{name}.txt: run scripts/lock"
        assert requirement.specifier.contains(version(chosen)), (
            f"{chosen} is not within {requirement}: run scripts/lock"
        )


@pytest.mark.parametrize("name", FILES)
def test_what_a_package_needs_is_there_too(name: str) -> None:
    """As the packages that are installed here say; pip would refuse a file with a gap in it."""
    packages = locked(name)
    environment = {"extra": ""}
    for package, requirement in packages.items():
        try:
            needed = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            assert requirement.marker and not requirement.marker.evaluate(environment), package
            continue
        for need in map(Requirement, needed):
            if need.marker is None or need.marker.evaluate(environment):
                assert canonicalize_name(need.name) in packages, f"{package} needs {need}"


def test_what_is_tested_is_what_is_installed_elsewhere() -> None:
    dev, engine, run = (locked(name) for name in ("dev", "engine", "run"))
    assert {package: str(dev[package]) for package in engine} == {
        package: str(requirement) for package, requirement in engine.items()
    }
    assert {package: str(engine[package]) for package in run} == {
        package: str(requirement) for package, requirement in run.items()
    }
    assert "pytest" not in engine
    assert "av" not in run


@pytest.mark.parametrize("name", FILES)
def test_where_packages_come_from_is_left_to_the_machine(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_what_it_is_made_of_is_printed_by_a_command() -> None:
    run = subprocess.run(
        [ROOT / "scripts" / "sbom", sys.executable], capture_output=True, text=True, check=False, timeout=110
    )
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "earshot"
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["metadata"]["component"]["version"])
    listed = {canonicalize_name(each["name"]): each["version"] for each in document["components"]}
    expected = {package: version(requirement) for package, requirement in locked("run").items()}
    assert {package: listed.get(package) for package in expected} == expected
