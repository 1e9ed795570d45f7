"""A destination's own text for its messages: a Jinja2 template that can neither reach files nor objects.

What it is given was made harmless before, so nothing is escaped here: messages are plain text everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from daemon.errors import ConfigError, ConfigProblem

logger = logging.getLogger(__name__)

LARGEST_BYTES = 64 * 1024


class Metadata(dict[str, str]):
    """Metadata of a recording; a key that it does not have is an empty text, no mistake of the template."""

    def __missing__(self, key: str) -> str:
        return ""


def load_template(path: Path, example: Mapping[str, Any]) -> Template:
    """Read the template in the file and try it on an example of what it will be given.

    Raises ConfigError with the line of a syntax error, and for a file that cannot be used.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES + 1).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise _problem(path, None, f"the template cannot be read: {reason}") from None
    if len(text) > LARGEST_BYTES:
        raise _problem(path, None, "is too large for a template; check the path")
    # Autoescaping is for HTML; an `&amp;` in a chat message would be wrong.
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        template = environment.from_string(text)
        template.render(example)
    except TemplateSyntaxError as error:
        raise _problem(path, error.lineno, f"the template is not valid: {error.message}") from None
    except Exception as error:
        known = f"; it may use {', '.join(sorted(example))}"
        raise _problem(path, None, f"the template cannot be filled in: {_reason(error)}{known}") from error
    return template


def rendered(template: Template, variables: Mapping[str, Any]) -> str | None:
    """Fill in the template; None when it fails on these variables."""
    try:
        return template.render(variables).strip()
    except Exception as error:  # noqa: BLE001 - a template can raise anything, and an alert must not be lost by it
        # The text of the error may quote what was said on the phone.
        logger.error("template failed, the built-in message is used error=%s", type(error).__name__)
        return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"


def _problem(path: Path, line: int | None, text: str) -> ConfigError:
    return ConfigError(path, [ConfigProblem(str(path), line, "template", text)])
