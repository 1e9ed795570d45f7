"""Finds values that are each valid but do not go together.

The checks read the data in its full form. It may still have wrong types elsewhere: so one run names every
problem, and a typo in one key hides no other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from daemon.config.addresses import is_loopback
from daemon.config.destinations import service_problem
from daemon.config.document import Finding, Location, shown_name
from daemon.config.option_checks import options_findings
from daemon.config.rule_checks import condition_findings
from daemon.config.secrets import text_problem
from daemon.config.short_forms import CREDENTIAL
from daemon.config.values import listen_address

Data = dict[str, Any]

_FALSE = ("false", "no", "off", "n", "f", "0")


def logical_findings(data: Data, *, asks_apprise: bool = True) -> Iterator[Finding]:
    """Every contradiction between the keys of a configuration in its full form."""
    for check in (
        _watch,
        _move_to,
        _markers,
        _database,
        _api_key,
        _destinations,
        _rules,
        _names,
        _webhooks,
        _web,
        options_findings,
        *([_alert_urls] if asks_apprise else []),
    ):
        yield from check(data)


def is_inside(path: str, folder: str, *, recursive: bool = True) -> bool:
    """True when the path is below the folder, compared as text; False for the folder itself."""
    parents = PurePosixPath(path).parents
    return PurePosixPath(folder) in (parents if recursive else parents[:1])


def _watch(data: Data) -> Iterator[Finding]:
    if data.get("watch") == []:
        yield Finding(("watch",), "there is nothing to watch; write at least one folder under watch:")
    folders = _watched(data)
    for index, path, _recursive in folders:
        where: Location = ("watch", index, "path")
        same = [other for other, folder, _ in folders if folder == path and other < index]
        around = [other for other, folder, deep in folders if deep and is_inside(path, folder)]
        if same:
            text = f"is the same folder as watch[{same[0]}]; its files would be watched twice; keep one"
            yield Finding(where, text)
        elif around:
            text = (
                f"lies inside watch[{around[0]}], which is recursive; its files would be watched twice;"
                f" remove it, or write recursive: false in watch[{around[0]}]"
            )
            yield Finding(where, text)


def _move_to(data: Data) -> Iterator[Finding]:
    for index, entry in enumerate(_sequence(data.get("watch"))):
        for key, inner in (("after_success", "move_to"), ("after_failure", "move_to"), ("sidecars", "into")):
            target = _mapping(_mapping(entry).get(key)).get(inner)
            if not isinstance(target, str) or not target.strip():
                continue
            for other, folder, recursive in _watched(data):
                if target == folder or (recursive and is_inside(target, folder)):
                    text = f"lies inside the watched folder watch[{other}]; write a folder outside of it"
                elif is_inside(folder, target):
                    text = f"has the watched folder watch[{other}] inside it; write a folder beside that"
                else:
                    continue
                yield Finding(("watch", index, key, inner), text)
                break


def _markers(data: Data) -> Iterator[Finding]:
    for index, entry in enumerate(_sequence(data.get("watch"))):
        marker = _mapping(entry).get("done_marker")
        for _position, name in _texts(_mapping(_mapping(entry).get("sidecars")).get("formats")):
            if marker == f"{{name}}.{name}":
                text = f"is what a sidecar is called as well; leave {name} out of sidecars"
                yield Finding(("watch", index, "done_marker"), text)


def _database(data: Data) -> Iterator[Finding]:
    database = data.get("database")
    if not isinstance(database, str):
        return
    for index, folder, recursive in _watched(data):
        if is_inside(database, folder, recursive=recursive):
            text = f"lies inside the watched folder watch[{index}]; write a path outside of it"
            yield Finding(("database",), text)
            return


def _api_key(data: Data) -> Iterator[Finding]:
    analyzer = _mapping(data.get("analyzer"))
    key = analyzer.get("api_key")
    if key is not None and analyzer.get("api_key_file") is not None:
        yield Finding(("analyzer", "api_key_file"), "api_key is given as well; keep one of them")
    problem = text_problem(key) if isinstance(key, str) else None
    if problem is not None:
        yield Finding(("analyzer", "api_key"), problem)


def _destinations(data: Data) -> Iterator[Finding]:
    for name, value in _mapping(_mapping(data.get("alerts")).get("destinations")).items():
        where: Location = ("alerts", "destinations", name)
        if not name.strip() or "://" in name:
            yield Finding(where, "a destination needs a name; write NAME: URL")
        if not isinstance(value, dict):
            continue
        if not value.get("urls") and value.get("urls_file") is None:
            yield Finding(where, "has no address; write an alert URL, or urls_file: FILE")
        file = value.get("urls_file")
        if isinstance(file, str) and file.startswith(CREDENTIAL):
            name = file.removeprefix(CREDENTIAL)
            if name in ("", ".", "..") or "/" in name:
                text = "write credential:NAME, the name of a systemd credential without slashes"
                yield Finding((*where, "urls_file"), text)


def _alert_urls(data: Data) -> Iterator[Finding]:
    for name, value in _mapping(_mapping(data.get("alerts")).get("destinations")).items():
        for index, url in _texts(_mapping(value).get("urls")):
            problem = service_problem(url)
            if problem is not None:
                yield Finding(("alerts", "destinations", name, "urls", index), problem)


def _webhooks(data: Data) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(_sequence(data.get("webhooks"))):
        name, url = _mapping(entry).get("name"), _mapping(entry).get("url")
        if name is None and isinstance(url, str):
            name = re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")[2]
        if isinstance(name, str) and name and seen.setdefault(name, index) != index:
            text = f"webhooks[{seen[name]}] is called the same; every webhook needs a name (else its host)"
            yield Finding(("webhooks", index), text)


def _web(data: Data) -> Iterator[Finding]:
    web = _mapping(data.get("web"))
    listen, header = web.get("listen"), web.get("user_header")
    if header is not None and not web.get("trusted_proxies"):
        text = "anybody could send this header; write the address of your proxy under trusted_proxies"
        yield Finding(("web", "user_header"), text)
    if not isinstance(listen, str) or web.get("token_file") is not None or header is not None:
        return
    with suppress(ValueError):
        address = listen_address(listen)
        if address is not None and not is_loopback(address[0]):
            text = (
                "can be reached from other hosts; write token_file: FILE with a password in it, or listen on"
                " 127.0.0.1 behind a proxy"
            )
            yield Finding(("web", "listen"), text)


def _rules(data: Data) -> Iterator[Finding]:
    names: dict[str, int] = {}
    for index, rule in _rule_list(data):
        where: Location = ("alerts", "rules", index)
        name = rule.get("name")
        if isinstance(name, str) and names.setdefault(name, index) != index:
            text = f"rules[{names[name]}] has this name as well; every rule needs a name of its own"
            yield Finding((*where, "name"), text)
        yield from condition_findings(rule.get("when"), (*where, "when"))
        for position, folder in _texts(rule.get("folders")):
            if folder.strip() and not _is_watched(folder, data):
                text = "is no watched folder and not inside one; write a path from watch:"
                yield Finding((*where, "folders", position), text)


def _names(data: Data) -> Iterator[Finding]:
    alerts = _mapping(data.get("alerts"))
    known = list(_mapping(alerts.get("destinations")))
    lists: list[tuple[Location, Any]] = [(("alerts", "operations"), alerts.get("operations"))]
    lists.append((("alerts", "digest", "notify"), _mapping(alerts.get("digest")).get("notify")))
    for index, rule in _rule_list(data):
        lists.append((("alerts", "rules", index, "notify"), rule.get("notify")))
    for where, value in lists:
        seen = set()
        for index, name in _texts(value):
            if name not in known:
                yield Finding((*where, index), _unknown_destination(name, known))
            elif name in seen:
                yield Finding((*where, index), "is named twice in this list; keep one")
            seen.add(name)


def _unknown_destination(name: str, known: list[str]) -> str:
    if "://" in name:
        return "is a URL; put it under alerts.destinations with a name and write that name here"
    # The name is not repeated: it may be a token, put there by mistake.
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"is no destination; did you mean '{near[0]}'?"
    names = f"known: {', '.join(map(shown_name, known))}" if known else "write it under alerts.destinations"
    return f"is no destination; {names}"


def _is_watched(folder: str, data: Data) -> bool:
    return any(folder == path or (deep and is_inside(folder, path)) for _index, path, deep in _watched(data))


def _watched(data: Data) -> list[tuple[int, str, bool]]:
    """Index, path and whether recursive of every entry whose path can be compared."""
    return [
        (index, entry["path"], str(entry.get("recursive")).lower() not in _FALSE)
        for index, entry in enumerate(_sequence(data.get("watch")))
        if isinstance(entry, dict) and isinstance(entry.get("path"), str) and entry["path"].strip()
    ]


def _rule_list(data: Data) -> list[tuple[int, Data]]:
    rules = _sequence(_mapping(data.get("alerts")).get("rules"))
    return [(index, rule) for index, rule in enumerate(rules) if isinstance(rule, dict)]


def _texts(value: Any) -> list[tuple[int, str]]:
    return [(index, item) for index, item in enumerate(_sequence(value)) if isinstance(item, str)]


def _mapping(value: Any) -> Data:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
