"""What a look at the configuration and all that it names has found, and how it is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.cli.look import LEVELS
from daemon.cli.output import print_json, print_line, problem_rows
from daemon.config.document import Location, dotted, read_document
from daemon.errors import ConfigError, ConfigProblem, EarshotError
from daemon.logs import redacted

MARK_COLUMNS = 9


class Report:
    """What was looked at: `fine` in sentences, `problems` with their place in the configuration file.

    `warnings` do not stop the service. `facts` are the same in numbers, for programs.
    """

    def __init__(self, file: Path) -> None:
        self.fine: list[str] = []
        self.problems: list[ConfigProblem] = []
        self.warnings: list[ConfigProblem] = []
        self.facts: dict[str, Any] = {}
        self._file = file
        self._document = read_document(file)

    def problem(self, location: Location | None, text: str) -> None:
        """Note what is wrong at this place of the configuration, or at the nearest one that the file has.

        None: with the service or its database, whatever the configuration says.
        """
        self.problems.append(self._found(location, text, "error"))

    def warning(self, location: Location | None, text: str) -> None:
        """Note what works now, but may matter one day."""
        self.warnings.append(self._found(location, text, "warning"))

    def _found(self, location: Location | None, text: str, level: str) -> ConfigProblem:
        if location is None:
            return ConfigProblem("", None, "", text, level)
        key, line = self._document.place(location)
        return ConfigProblem(str(self._file), line, key, text, level)

    def error(self, location: Location | None, error: EarshotError) -> None:
        """Note an error; one in a line of another file (of URLs, a template) keeps that file and line."""
        if not isinstance(error, ConfigError):
            self.problem(location, str(error))
            return
        for each in error.problems:
            if each.line is not None and location is not None:
                self.problems.append(dataclasses.replace(each, key=dotted(location)))
            else:
                of = f"{each.file}: " if Path(each.file).is_absolute() else ""
                self.problem(location, f"{of}{each.problem}")


def print_report(report: Report) -> None:
    """Print what is fine, then warnings, then, on stderr, errors."""
    for text in report.fine:
        _print_marked("ok", text)
    print_problems([*report.warnings, *report.problems])


def print_problems(problems: Sequence[ConfigProblem]) -> None:
    """Print warnings, and on stderr errors, each with its mark."""
    for each in problems:
        _print_marked(each.level, str(each))


def _print_marked(level: str, text: str) -> None:
    mark = f"{level:<{MARK_COLUMNS}}"
    print_line((mark, LEVELS[level]), redacted(text), indent=MARK_COLUMNS, err=level == "error")


def print_report_document(problems: list[ConfigProblem], fine: list[str], **more: Any) -> None:
    """Print the same as one JSON document."""
    print_json({"problems": problem_rows(problems), "fine": [redacted(text) for text in fine], **more})
