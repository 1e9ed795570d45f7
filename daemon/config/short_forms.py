"""The short forms of the configuration in their full form: one shape for validation and for the checks.

Works on data that nobody has validated yet: what has an unexpected type passes through untouched.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CREDENTIAL = "credential:"
"""A `urls_file` or `secret_file` that starts so names a systemd credential instead of a path."""

_WATCH_LISTS = ("include", "exclude", "channels", "tags", "hosts")
_CONDITION_LISTS = (
    "average_sentiment",
    "speaker",
    "intent",
    "topic",
    "phrase",
    "without_phrase",
    "tag",
    "not_analyzed",
)
_ANALYZER_LISTS = ("features", "custom_intents", "custom_topics")


def full_form(data: Mapping[str, Any], folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The data with short forms written out and paths absolute; relative ones start at `folder`."""

    def path_of(value: Any) -> Any:
        return absolute_path(value, folder, env) if isinstance(value, str) else value

    full = dict(data)
    # A heading whose keys are all commented out is null to YAML; people mean "nothing here".
    for key in ("analyzer", "alerts", "database", "webhooks"):
        if key in full and full[key] is None:
            del full[key]
    database = full.get("database", default_database(env))
    if database is not None:
        full["database"] = path_of(database)
    watch = full.get("watch")
    full["watch"] = [] if watch is None else watch
    if isinstance(watch, list):
        full["watch"] = [_watch_entry(entry, path_of) for entry in watch]
    if isinstance(full.get("analyzer"), dict):
        full["analyzer"] = _analyzer(full["analyzer"])
        _change(full["analyzer"], ("api_key_file",), path_of)
    if isinstance(full.get("webhooks"), list):
        full["webhooks"] = [_webhook(entry, path_of) for entry in full["webhooks"]]
    if isinstance(full.get("alerts"), dict):
        full["alerts"] = _alerts(full["alerts"], path_of)
    return full


def absolute_path(text: str, folder: Path, env: Mapping[str, str]) -> str:
    """The path with `~` expanded, from `folder` where it is relative; a blank one stays as it is."""
    if not text.strip():
        return text
    path = Path(text)
    home = _home(env)
    if home is not None and (text == "~" or text.startswith("~/")):
        path = home / text[2:]
    # Only as text: following links here would make the path differ from what people wrote and see.
    normal = os.path.normpath(folder / path)
    # Two slashes at the start mean nothing of their own on Linux; they would only hide which paths are equal.
    return "/" + normal.lstrip("/") if normal.startswith("//") else normal


def default_database(env: Mapping[str, str]) -> str | None:
    """Where the database is when the file does not say: systemd's state folder, else the user's.

    None for a user without a home folder.
    """
    state = env.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return str(Path(state) / "earshot.db")
    user_state = Path(env.get("XDG_STATE_HOME", ""))
    if not user_state.is_absolute():
        home = _home(env)
        if home is None:
            return None
        user_state = home / ".local" / "state"
    return str(user_state / "earshot" / "earshot.db")


def _home(env: Mapping[str, str]) -> Path | None:
    home = env.get("HOME")
    try:
        return Path(home) if home else Path.home()
    except RuntimeError:
        return None


def _watch_entry(entry: Any, path_of: Any) -> Any:
    if isinstance(entry, str):
        entry = {"path": entry}
    if not isinstance(entry, dict):
        return entry
    full = dict(entry)
    _change(full, ("path",), path_of)
    _change(full, _WATCH_LISTS, _as_list)
    for key in ("after_success", "after_failure"):
        if isinstance(full.get(key), dict):
            full[key] = dict(full[key])
            _change(full[key], ("move_to",), path_of)
    if isinstance(full.get("sidecars"), str | list):
        full["sidecars"] = {"formats": full["sidecars"]}
    if isinstance(full.get("sidecars"), dict):
        full["sidecars"] = dict(full["sidecars"])
        _change(full["sidecars"], ("formats",), _as_list)
        _change(full["sidecars"], ("into",), path_of)
    if "analyzer" in full and full["analyzer"] is None:
        del full["analyzer"]
    if isinstance(full.get("analyzer"), dict):
        full["analyzer"] = _analyzer(full["analyzer"])
    return full


def _analyzer(section: dict[str, Any]) -> dict[str, Any]:
    full = dict(section)
    _change(full, _ANALYZER_LISTS, _as_list)
    return full


def _alerts(section: dict[str, Any], path_of: Any) -> dict[str, Any]:
    full = {
        key: value
        for key, value in section.items()
        if value is not None or key not in ("destinations", "rules", "operations")
    }
    _change(full, ("operations",), _as_list)
    if isinstance(full.get("destinations"), dict):
        full["destinations"] = {
            name: _destination(value, path_of) for name, value in full["destinations"].items()
        }
    if isinstance(full.get("digest"), dict):
        full["digest"] = dict(full["digest"])
        _change(full["digest"], ("notify",), _as_list)
    if isinstance(full.get("rules"), list):
        full["rules"] = [_rule(rule, path_of) for rule in full["rules"]]
    return full


def _destination(value: Any, path_of: Any) -> Any:
    if isinstance(value, (str, list)):
        value = {"urls": value}
    if not isinstance(value, dict):
        return value
    full = dict(value)
    _change(full, ("urls",), _as_list)
    _change(full, ("template",), path_of)
    if not str(full.get("urls_file")).startswith(CREDENTIAL):
        _change(full, ("urls_file",), path_of)
    return full


def _webhook(entry: Any, path_of: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    full = dict(entry)
    _change(full, ("on", "include"), _as_list)
    if not str(full.get("secret_file")).startswith(CREDENTIAL):
        _change(full, ("secret_file",), path_of)
    if full.get(True) is not None and "on" not in full:
        # To YAML 1.1 the key `on` is a switch.
        full["on"] = _as_list(full.pop(True))
    return full


def _rule(rule: Any, path_of: Any) -> Any:
    if not isinstance(rule, dict):
        return rule
    full = dict(rule)
    _change(full, ("folders", "notify"), _as_list)
    if isinstance(full.get("folders"), list):
        full["folders"] = [path_of(folder) for folder in full["folders"]]
    _change(full, ("when",), _when)
    return full


def _when(when: Any) -> Any:
    """Conditions with lists written out, in the mappings inside it too."""
    if not isinstance(when, dict):
        return when
    full = dict(when)
    _change(full, _CONDITION_LISTS, _one_in_list)
    if isinstance(full.get("not_analyzed"), list):
        # To YAML it is a switch, beside the features it is a word.
        full["not_analyzed"] = ["true" if each is True else each for each in full["not_analyzed"]]
    if isinstance(full.get("metadata"), dict):
        full["metadata"] = {key: _one_in_list(value) for key, value in full["metadata"].items()}
    for key in ("any", "all"):
        if isinstance(full.get(key), list):
            full[key] = [_when(inner) for inner in full[key]]
    _change(full, ("not",), _when)
    return full


def _change(section: dict[str, Any], keys: tuple[str, ...], change: Any) -> None:
    for key in keys:
        if key in section:
            section[key] = change(section[key])


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _one_in_list(value: Any) -> Any:
    """Also of a number: that it has to be text is told better of a value than of a list."""
    return [value] if isinstance(value, (str, int, float)) else value
