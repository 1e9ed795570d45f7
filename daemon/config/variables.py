"""Replaces `${NAME}` in the configuration by the environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from daemon.config.document import Finding, Location

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def expand_variables(value: Any, env: Mapping[str, str]) -> tuple[Any, list[Finding]]:
    """The value with references replaced, and findings for those that failed; `$${` means `${`."""
    findings: list[Finding] = []

    def expanded(part: Any, here: Location) -> Any:
        if isinstance(part, dict):
            return {key: expanded(child, (*here, key)) for key, child in part.items()}
        if isinstance(part, list):
            return [expanded(child, (*here, index)) for index, child in enumerate(part)]
        if not isinstance(part, str):
            return part
        text, problems = _expand_text(part, env)
        if problems:
            findings.append(Finding(here, "; ".join(dict.fromkeys(problems))))
        return text

    return expanded(value, ()), findings


def _expand_text(text: str, env: Mapping[str, str]) -> tuple[str, list[str]]:
    problems: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name, end = match[1], match[2]
        if name is None:
            return "${"
        if not end or not _NAME.fullmatch(name):
            problems.append("write ${NAME} for an environment variable, or $${ for a plain ${")
        elif name not in env:
            problems.append(f"the environment variable {name} is not set")
        else:
            return env[name]
        return match[0]

    return _REFERENCE.sub(replacement, text), problems
