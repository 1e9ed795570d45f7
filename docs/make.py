"""Makes what is written by hand nowhere: configuration.md, commands.md and the manual page earshot.1.

`scripts/docs` writes them, and tests/test_docs.py holds what is stored against what this makes now.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from daemon import __version__
from daemon.cli.commands import GROUPS, earshot
from daemon.config.models import Config

DOCS = Path(__file__).parent
EXAMPLE = DOCS.parent / "config.example.yaml"
WIDTH = 96

KINDS = {
    "parse_duration": "duration",
    "parse_size": "size",
    "parse_clock": "time of day",
    "parse_quiet_hours": "times of day",
    "known_timezone": "time zone",
    "number_or_auto": "number or auto",
    "parse_after_success": "keep, delete or {move_to: DIR}",
    "parse_after_failure": "keep or {move_to: DIR}",
}
"""What a value is, by the function that reads it."""
TYPES = {
    bool: "true or false",
    int: "number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
}

CONFIGURATION_HEAD = """\
# Configuration by key

Made by `scripts/docs` from what the program accepts and from the comments of
[`config.example.yaml`](../config.example.yaml), which is the file to begin with. `earshot check` says
what is wrong with yours, all of it at once, each with its line.

Durations are `0.5s`, `2s`, `15m`, `24h`, `30d` or a number of seconds, sizes `64MB` or `512KiB`. `${NAME}`
in a text is an environment variable. Relative paths start at the folder of the file. After a change:
`earshot reload`.
"""
COMMANDS_HEAD = """\
# Commands

Made by `scripts/docs` from what each command says itself: `earshot COMMAND --help`, or
`earshot help COMMAND`. `earshot completion bash`, `zsh` or `fish` prints what a shell needs to complete them.

Each command takes `-c FILE`; without it the configuration is the file that `$EARSHOT_CONFIG` names, else
`/etc/earshot/config.yaml`, else `config.yaml` in the current folder. `--debug` logs everything.

Commands that print data take `--json`. Times are shown, and read, in the `timezone` of the configuration,
which is named with them; in JSON and in tables they are UTC. There are no colours in a pipe, with `NO_COLOR`
and on a dumb terminal.

Exit codes: 0 all is well, 1 something failed and stderr says what, 2 wrong usage, 78 the configuration, the
database or the embedded engine cannot be used, 130 interrupted.
"""
MAN_TAIL = r"""
.SH EXIT STATUS
0 all is well; 1 something failed, and standard error says what; 2 wrong usage; 78 the configuration, the
database or the embedded engine cannot be used; 130 interrupted.
.SH ENVIRONMENT
.TP
EARSHOT_CONFIG
the configuration, where
.B \-c
names none
.TP
DEEPGRAM_API_KEY
the key, where the configuration and systemd name none
.SH FILES
.TP
/etc/earshot/config.yaml
the configuration; its keys are explained in config.example.yaml and docs/configuration.md
.TP
/var/lib/earshot/earshot.db
the database of the installed service
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
"""


def pages() -> dict[str, str]:
    """Return the text of each file that is made, by its name in docs/."""
    return {"configuration.md": configuration(), "commands.md": commands(), "earshot.1": manual()}


# The configuration


def configuration() -> str:
    """Return configuration.md: a table for each mapping of the file."""
    described = comments()
    parts = [CONFIGURATION_HEAD]
    for path, model in mappings(Config, ""):
        about = described.get(path.removesuffix("[]").removesuffix(".NAME"), ("", ""))[0]
        parts.append(f"## {f'`{path}`' if path else 'At the top'}\n")
        parts += [f"{about}\n"] if path and about else []
        parts.append("| key | what it takes | default | |\n| --- | --- | --- | --- |")
        for name, field in fields(model).items():
            text, default = described.get(f"{path}.{name}".lstrip("."), ("", ""))
            shown = default or default_of(field)
            cells = (f"`{name}`", kind(field), f"`{shown}`" if shown else "", text)
            parts.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the names that the file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def mappings(
    model: type[BaseModel], path: str, seen: frozenset[type] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """Yield each mapping of the file once, with its path such as `watch[].analyzer`."""
    yield path, model
    for name, field in fields(model).items():
        for inner, suffix in models_in(field.annotation):
            if inner not in seen and inner is not model:
                is_repeated = path.startswith("watch") and name in Config.model_fields and name != "analyzer"
                if not is_repeated:
                    yield from mappings(inner, f"{path}.{name}{suffix}".lstrip("."), seen | {model})


def models_in(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the models inside an annotation, and how a path names one of several."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, BaseModel):
            yield annotation, ""
        return
    suffix = {tuple: "[]", dict: ".NAME"}.get(get_origin(annotation), "")
    for part in get_args(annotation):
        for model, more in models_in(part):
            yield model, suffix + more


def comments() -> dict[str, tuple[str, str]]:
    """Return the sentences above each key of the example, and the value that a commented key shows."""
    start, _, conditions = EXAMPLE.read_text("utf-8").partition("    # - name: every condition\n")
    lines = (start + re.sub(r"(?m)^( *)# ", r"\1", conditions)).splitlines()
    found: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    place: list[tuple[int, str]] = []
    for line in lines:
        if prose := re.match(r" *# (.*)", line):
            above.append(prose[1])
        elif key := re.match(r"( *)(- )?(#?)([a-z_]+):(?: (.*))?$", line):
            indent = len(key[1]) + len(key[2] or "")
            while place and place[-1][0] >= indent:
                place.pop()
            place.append((indent, key[4]))
            path = dotted([name for _, name in place])
            found.setdefault(path, (" ".join(above), (key[5] or "") if key[3] else ""))
            above = []
        else:
            above = []
    return found


def dotted(names: list[str]) -> str:
    """Return a path as `mappings` writes it: `alerts.rules[].when.intent`."""
    path = ".".join(names)
    for alone, listed in (("watch.", "watch[]."), ("alerts.rules.", "alerts.rules[].")):
        path = path.replace(alone, listed, 1) if path.startswith(alone) else path
    return re.sub(r"^alerts\.destinations\.[a-z]+", "alerts.destinations.NAME", path)


def kind(field: FieldInfo) -> str:
    """Return in words what a key takes."""
    readers = [getattr(each, "func", None) for each in field.metadata]
    for reader in readers:
        if reader is not None and getattr(reader, "__name__", "") in KINDS:
            return KINDS[reader.__name__]
    return type_name(field.annotation)


def type_name(annotation: Any) -> str:
    """Return in words what an annotation accepts, without None."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        readers = [getattr(getattr(each, "func", None), "__name__", "") for each in annotation.__metadata__]
        return next((KINDS[each] for each in readers if each in KINDS), None) or type_name(inside[0])
    if origin is Literal:
        return ", ".join(map(str, inside[:-1])) + f" or {inside[-1]}" if len(inside) > 1 else str(inside[0])
    if origin in (Union, UnionType):
        return type_name(next(each for each in inside if each is not type(None)))
    if origin is tuple:
        within = type_name(inside[0])
        return (
            "list of mappings" if within == "mapping" else f"list of {within}" if " or " in within else "list"
        )
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    return TYPES.get(annotation, "")


def default_of(field: FieldInfo) -> str:
    """Return a default that is in no comment of the example; empty where the key is a must or a mapping."""
    default = field.default
    if field.is_required() or default is None or isinstance(default, BaseModel):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    return (
        f"{default:g}"
        if isinstance(default, float)
        else str(default)
        if isinstance(default, int | str)
        else ""
    )


# The commands


Place = tuple[str, str, click.Command, click.Context]
"""A command: its heading, its whole name, itself, and a context for it."""


def every_command() -> Iterator[Place]:
    """Yield heading, name, command and context of each command, those of groups behind their group."""
    root = click.Context(earshot, info_name="earshot", terminal_width=WIDTH, max_content_width=WIDTH)
    for heading, names in GROUPS.items():
        for name in names:
            yield from _below(heading, name, root)


def _below(
    heading: str, name: str, parent: click.Context
) -> Iterator[tuple[str, str, click.Command, click.Context]]:
    group = cast(click.Group, parent.command)
    command = cast(click.Command, group.get_command(parent, name))
    context = click.Context(command, info_name=name, parent=parent)
    yield heading, context.command_path, command, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _below(heading, inner, context)


def commands() -> str:
    """Return commands.md: what each command says of itself."""
    parts, last = [COMMANDS_HEAD], ""
    for heading, path, command, context in every_command():
        if heading != last:
            parts.append(f"## {heading}\n")
            last = heading
        text = re.sub(
            r"(?ms)^  -c, --config FILE.*?(?=^  -)|^  --debug.*?(?=^  -)|^  -h, --help.*?$\n?",
            "",
            help_of(command, context),
        )
        parts.append(f"### {path}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(parts)


def help_of(command: click.Command, context: click.Context) -> str:
    """Return what --help prints, but not the options that every command has."""
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    common = r"^  -c, --config FILE.*?(?=^  -)|^  --debug.*?(?=^  -)|^  (?:-h, )?--help [^\n]*\n?"
    return re.sub(rf"(?ms){common}", "", f"{text}\n").replace("Options:\n\n", "").strip()


# The manual page


def manual() -> str:
    """Return earshot.1."""
    lines = [
        f'.TH EARSHOT 1 "" "earshot {__version__}" "User Commands"',
        ".SH NAME",
        r"earshot \- watch folders for recordings, have them analyzed, and alert people",
        ".SH SYNOPSIS",
        ".B earshot",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH OPTIONS",
        "Each command takes these.",
        *options_of(earshot, click.Context(earshot, info_name="earshot"), common=True),
    ]
    last = ""
    for heading, path, command, context in every_command():
        if heading != last:
            lines.append(f".SH COMMANDS: {heading.upper()}")
            last = heading
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f'.SS "{roff(path)} {roff(usage)}"', *paragraphs(command.help or "")]
        lines += options_of(command, context, common=False)
        if command.epilog:
            lines += [".PP", roff(command.epilog)]
    return "\n".join(lines) + MAN_TAIL


def options_of(command: click.Command, context: click.Context, *, common: bool) -> list[str]:
    """Return the options of a command as a list of roff; the common ones alone, or all others."""
    lines = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        is_common = parameter.name in ("config", "debug", "help", "version")
        if record is not None and is_common == common:
            lines += [".TP", rf"\fB{roff(record[0])}\fR", roff(record[1])]
    return lines


def paragraphs(text: str) -> list[str]:
    """Return a docstring as roff."""
    blocks = textwrap.dedent(text).strip().split("\n\n")
    return [line for block in blocks for line in (".PP", roff(" ".join(block.split())))]


def roff(text: str) -> str:
    """Return a text as roff has it: nothing in it is a command or an escape."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    for name, content in pages().items():
        (DOCS / name).write_text(content, "utf-8")
