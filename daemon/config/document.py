"""A YAML file as plain data together with the line of every key.

PyYAML's safe constructors forget the lines and let a later key overwrite an earlier one, so the nodes
are converted here. The result has only text, numbers, booleans, null, lists and mappings.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LARGEST_FILE_BYTES = 1_000_000
# Aliases repeat a part of the file: ten aliases in each of ten levels would fill the memory.
MOST_VALUES = 20_000
DEEPEST_NESTING = 30

SHORTEST_TOKEN = 16
LONGEST_NAME = 60
"""In characters. A word with digits counts as a token from the first on, any word above the second."""
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])|[0-9]{8}")
_TAG = "tag:yaml.org,2002:"

Location = tuple[str | int, ...]


class Finding(NamedTuple):
    """A problem at a place in the file; `line` only if it is not the line of that place."""

    location: Location
    problem: str
    line: int | None = None


class DocumentError(Exception):
    """The file as a whole cannot be used."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file, the line of each key and list item, and what was wrong while reading."""

    data: dict[str, Any]
    lines: dict[Location, int]
    findings: list[Finding]

    def place(self, location: Location) -> tuple[str, int]:
        """The key as people write it and its line; those of its parent if the file has no such key.

        Parts that only the full form has (`urls`, when a plain URL was written) are left out.
        """
        known: Location = ()
        shown: Location = ()
        value: Any = self.data
        for part in location:
            if isinstance(value, dict):
                shown = (*shown, part)
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                shown = (*shown, part)
                value = value[part] if part < len(value) else None
            known = shown if shown in self.lines else known
        return dotted(shown), self.lines[known]


def dotted(location: Location) -> str:
    """`watch[0].settle`, with possible secrets hidden."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + shown_name(part)
    return text


def shown_name(name: str) -> str:
    """A key or a name as messages may show it: hidden if it looks like a URL or a token."""
    if "://" in name:
        return "<URL>"
    looks_secret = len(name) > LONGEST_NAME or (len(name) >= SHORTEST_TOKEN and _MIXED.search(name))
    return "<hidden>" if looks_secret and " " not in name else name


def read_document(path: Path) -> Document:
    """Reads a YAML file whose top level is a mapping. Raises DocumentError."""
    text = _read_text(path)
    loader = yaml.SafeLoader("")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise DocumentError(f"the file is empty; {_example()} is a start", 1)
        if not isinstance(node, yaml.MappingNode):
            raise DocumentError("the top level must be keys with values, such as `watch:`", _line(node))
        conversion = _Conversion(loader)
        conversion.lines[()] = _line(node)
        return Document(conversion.mapping(node, ()), conversion.lines, conversion.findings)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError("a control character is in the text; remove it", line) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from None
    except RecursionError:
        raise DocumentError("values are nested too deeply") from None
    finally:
        loader.dispose()


def _example() -> str:
    """Return where the example configuration is: a wheel installs it, a checkout has it at its top."""
    name = "config.example.yaml"
    places = (Path(sys.prefix, "share", "earshot", name), Path(__file__).parents[2] / name)
    return next((str(place) for place in places if place.exists()), name)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise DocumentError(
            f"there is no such file; name one with -c FILE or EARSHOT_CONFIG, {_example()} is a start"
        ) from None
    except IsADirectoryError:
        raise DocumentError("this is a folder; name the configuration file in it") from None
    except PermissionError:
        raise DocumentError(
            "no permission to read it; make it readable for the user earshot runs as"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise DocumentError(f"it cannot be read: {reason}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise DocumentError("it is larger than 1 MB; this is no earshot configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError("this line is not UTF-8; save the file as UTF-8", line) from None


class _Conversion:
    """Turns nodes into data, and counts the values: repeated aliases could grow without limit."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.loader = loader
        self.lines: dict[Location, int] = {}
        self.findings: list[Finding] = []
        self.values = 0

    def value(self, node: yaml.Node, location: Location) -> Any:
        self.count(node, location)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.item(child, (*location, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, location)
        return self.refuse(node, location)

    def count(self, node: yaml.Node, location: Location) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            raise DocumentError(f"more than {MOST_VALUES} values, aliases included", _line(node))
        if len(location) > DEEPEST_NESTING:
            raise DocumentError("values are nested too deeply", _line(node))

    def item(self, node: yaml.Node, location: Location) -> Any:
        self.lines[location] = _line(node)
        return self.value(node, location)

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, child, merged in self.pairs(node, location):
            if not isinstance(key, yaml.ScalarNode):
                self.findings.append(Finding(location, "a key must be plain text", _line(key)))
                continue
            here = (*location, key.value)
            if key.value not in result:
                self.lines[here] = _line(key)
                result[key.value] = self.value(child, here)
            elif not merged:
                text = f"is given twice, first on line {self.lines[here]}; keep one of them"
                self.findings.append(Finding(here, text, _line(key)))
        return result

    def pairs(
        self, node: yaml.MappingNode, location: Location, merged: bool = False
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Keys and values: first the mapping's own, then those merged by `<<`."""
        self.count(node, location)
        sources: list[yaml.Node] = []
        for key, child in node.value:
            if key.tag == f"{_TAG}merge":
                sources += child.value if isinstance(child, yaml.SequenceNode) else [child]
            else:
                yield key, child, merged
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                yield from self.pairs(source, location, merged=True)
            else:
                self.findings.append(Finding(location, "`<<` must name a mapping", _line(source)))

    def scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        kind = node.tag.removeprefix(_TAG)
        # YAML 1.1 reads 22:00 as 1320 and 2026-01-31 as a date; people mean the text.
        if kind in ("str", "timestamp", "value") or (kind in ("int", "float") and ":" in node.value):
            return node.value
        if kind not in ("null", "bool", "int", "float"):
            return self.refuse(node, location)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError):
            self.findings.append(Finding(location, "is not a readable number; correct it or quote it"))
            return None

    def refuse(self, node: yaml.Node, location: Location) -> None:
        self.findings.append(Finding(location, "YAML tags (!name) are not supported; write a plain value"))


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _is_variable(mark: yaml.Mark | None) -> bool:
    """Return whether a `${` is what PyYAML does not understand: within brackets its `{` opens another."""
    if mark is None or mark.buffer is None:
        return False
    return str(mark.buffer)[max(mark.pointer - 1, 0) :].startswith("${")


def _syntax_error(error: yaml.MarkedYAMLError) -> DocumentError:
    """PyYAML's error in our words, with the line of the mistake, never with text from it."""
    problem, context = error.problem or "", error.context or ""
    mark, start = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    if "'\\t'" in problem or "tab" in problem:
        text = "a tab indents this line; YAML wants spaces"
    elif "alias" in problem or "alias" in context:
        text = 'a value that starts with * or & needs quotes, such as "*.wav"'
    elif "cannot start any token" in problem:
        text = "a value that starts with @, `, % or another special character needs quotes"
    elif "mapping values are not allowed" in problem:
        text = "a second `: ` in one line, or wrong indentation; text with `: ` in it needs quotes"
    elif "escape" in problem or "escape" in context:
        text = "a backslash in double quotes starts an escape; use single quotes"
    elif "quoted scalar" in context:
        text, mark = "the quote opened here is not closed", start
    elif "flow" in context and _is_variable(error.problem_mark):
        text = 'inside of brackets a variable needs quotes, such as {url: "${NAME}"}'
    elif "flow" in context:
        text, mark = "the bracket opened here is not closed, or a comma is missing", start
    elif "expected a single document" in context:
        text = "`---` starts a second document; keep one"
    elif "simple key" in context:
        text, mark = "this line has no `: `; write `key: value`", start
    else:
        text = "this is not valid YAML; check indentation, quotes and colons at and above this line"
    return DocumentError(text, None if mark is None else mark.line + 1)
