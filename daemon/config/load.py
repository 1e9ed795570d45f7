"""Reads the configuration file: YAML in, a Config out, or every problem at once with its line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from daemon.config.checks import logical_findings
from daemon.config.document import Document, DocumentError, Finding, Location, read_document
from daemon.config.models import Config, Engine
from daemon.config.short_forms import full_form
from daemon.config.validation_errors import findings_of
from daemon.config.variables import expand_variables
from daemon.errors import ConfigError, ConfigProblem


def load_config(path: Path, *, env: Mapping[str, str] = os.environ, asks_apprise: bool = True) -> Config:
    """The configuration in the file. Raises ConfigError with all its problems, in the order of the file.

    No other file is opened: whether the folders, the key and the destinations work is checked by
    `earshot check` and by the parts that use them. Without `asks_apprise` alert URLs are taken as they are:
    for who sends nothing, because loading Apprise takes longer than all the rest.
    """
    try:
        document = read_document(path)
    except DocumentError as error:
        raise ConfigError(path, [ConfigProblem(str(path), error.line, "", error.problem)]) from None
    data, findings = expand_variables(document.data, env)
    findings = document.findings + findings
    full = full_form(data, path.absolute().parent, env)
    config = None
    try:
        config = Config.model_validate(full)
    except ValidationError as error:
        findings += findings_of(error)
    findings += logical_findings(full, asks_apprise=asks_apprise)
    if config is None or findings:
        raise ConfigError(path, _problems(path, document, findings))
    return _with_link(config)


def _with_link(config: Config) -> Config:
    """Let messages lead to the web pages where nothing else is wanted."""
    if config.alerts.link is not None or config.web.public_url is None:
        return config
    link = config.web.public_url + "/recordings/{id}?t={seconds}#t={seconds}"
    return config.model_copy(update={"alerts": config.alerts.model_copy(update={"link": link})})


def load_engine(path: Path, *, env: Mapping[str, str] = os.environ) -> Engine:
    """The section `engine` alone, for an engine without a service; the others are not read.

    Raises ConfigError with all problems of that section, and with sections that have no known name.
    """
    try:
        document = read_document(path)
    except DocumentError as error:
        raise ConfigError(path, [ConfigProblem(str(path), error.line, "", error.problem)]) from None
    sections = {name: value for name, value in document.data.items() if name not in Config.model_fields}
    own = {"engine": document.data["engine"]} if "engine" in document.data else {}
    data, findings = expand_variables(sections | own, env)
    full = full_form(data, path.absolute().parent, env)
    findings += document.findings
    try:
        # With a folder to watch, as the whole needs one.
        engine = Config.model_validate({**full, "database": "-", "watch": [{"path": "-"}]}).engine
    except ValidationError as error:
        findings += findings_of(error)
        engine = None
    if engine is None or findings:
        raise ConfigError(path, _problems(path, document, findings))
    return engine


def _problems(path: Path, document: Document, findings: Iterable[Finding]) -> list[ConfigProblem]:
    """The problems sorted by line, without those caused by an earlier one at or below the same key."""
    problems: dict[tuple[str, int], ConfigProblem] = {}
    reported: set[Location] = set()
    for finding in findings:
        key, line = document.place(finding.location)
        if finding.line is None and finding.location in reported:
            continue
        line = line if finding.line is None else finding.line
        problems.setdefault((key, line), ConfigProblem(str(path), line, key, finding.problem))
        reported.update(finding.location[:end] for end in range(len(finding.location)))
    return sorted(problems.values(), key=lambda problem: problem.line or 0)
