"""Writes short forms of the configuration in full: one shape for validation and checks.

Works on data that is not validated yet: values of an unexpected type stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CREDENTIAL = "credential:"
"""A `urls_file` or `secret_file` that starts so names a systemd credential instead of a path."""

_WATCH_LISTS = ("include", "exclude", "channels", "tags", "hosts", "prefer")
_CONDITION_LISTS = (
    *("average_sentiment", "speaker", "intent", "topic", "phrase", "without_phrase", "tag", "not_analyzed"),
)
_HEADINGS = ("analyzer", "limits", "retention")
"""Of the whole and of a folder, which may be there with everything below them commented out."""

_ANALYZER_LISTS = ("features", "custom_intents", "custom_topics")

Change = Callable[[Any], Any]


def full_form(data: Mapping[str, Any], folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The data with short forms written out and paths made absolute, from `folder`."""

    def path_of(value: Any) -> Any:
        return absolute_path(value, folder, env) if isinstance(value, str) else value

    # If all keys below a heading are commented out, YAML reads null; people mean "nothing here".
    sections = ("engine", "alerts", "database", "prices", "webhooks", "watch", "web")
    given = _without_empty(data, *_HEADINGS, *sections)
    database = default_database(env)
    full: dict[str, Any] = {"watch": []} | ({} if database is None else {"database": database}) | given
    analyzer = _keys(dict.fromkeys(_ANALYZER_LISTS, _as_list) | {"api_key_file": path_of})
    changes = {
        "database": path_of,
        "metrics_file": path_of,
        "watch": _each(_watch(path_of, analyzer)),
        "analyzer": analyzer,
        "engine": _keys({"api_key_file": _secret(path_of), "hosts": _as_list, "examples": _values(_as_list)}),
        "alerts": _alerts(path_of),
        "web": _keys({"token_file": _secret(path_of), "trusted_proxies": _as_list, "operators": _as_list}),
        "webhooks": _each(_keys({"on": _as_list, "include": _as_list, "secret_file": _secret(path_of)})),
    }
    return dict(_keys(changes)(full))


def absolute_path(text: str, folder: Path, env: Mapping[str, str]) -> str:
    """The absolute path, `~` expanded, relative ones from `folder`; a blank one unchanged."""
    if not text.strip():
        return text
    path = Path(text)
    home = _home(env)
    if home is not None and (text == "~" or text.startswith("~/")):
        path = home / text[2:]
    # Only as text: following links here would make the path differ from what people wrote and see.
    normal = os.path.normpath(folder / path)
    # On Linux two slashes at the start mean the same as one; without this, equal paths would look different.
    return "/" + normal.lstrip("/") if normal.startswith("//") else normal


def default_database(env: Mapping[str, str]) -> str | None:
    """The database's path if the file names none: in systemd's state folder, else the user's.

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


def _watch(path_of: Change, analyzer: Change) -> Change:
    move = _keys({"move_to": path_of})
    sidecars = _keys({"formats": _as_list, "into": path_of})
    changes = {
        "path": path_of,
        "analyzer": analyzer,
        "after_success": move,
        "after_failure": move,
        # No format means no sidecars, as without the key.
        "sidecars": lambda value: sidecars(_in_full("formats", str | list, None if value == [] else value)),
    }
    keys = _keys(changes | dict.fromkeys(_WATCH_LISTS, _as_list))
    return lambda entry: keys(_without_empty(_in_full("path", str, entry), *_HEADINGS))


def _alerts(path_of: Change) -> Change:
    destination = _keys({"urls": _as_list, "urls_file": _secret(path_of), "template": path_of})
    rule = _keys(
        {"folders": lambda value: _each(path_of)(_as_list(value)), "notify": _as_list, "when": _when}
    )
    changes = {
        "operations": _as_list,
        "destinations": _values(lambda value: destination(_in_full("urls", str | list, value))),
        "digest": _keys({"notify": _as_list}),
        "rules": _each(rule),
    }
    return lambda section: _keys(changes)(_without_empty(section, "destinations", "rules", "operations"))


def _when(when: Any) -> Any:
    """Conditions with lists written out, in inner mappings too."""
    # YAML reads `not_analyzed: true` as a boolean; here it is a word, like the names of features.
    words = _each(lambda each: "true" if each is True else each)
    changes = dict.fromkeys(_CONDITION_LISTS, _one_in_list) | {
        "not_analyzed": lambda value: words(_one_in_list(value)),
        "metadata": _values(_one_in_list),
        "any": _each(_when),
        "all": _each(_when),
        "not": _when,
    }
    return _keys(changes)(when)


def _keys(changes: Mapping[str, Change]) -> Change:
    """A function that copies a mapping, changing the values of these keys."""
    return lambda value: (
        {key: changes.get(key, _as_it_is)(each) for key, each in value.items()}
        if isinstance(value, dict)
        else value
    )


def _values(change: Change) -> Change:
    """A function changing each value of a mapping."""
    return lambda value: (
        {key: change(each) for key, each in value.items()} if isinstance(value, dict) else value
    )


def _each(change: Change) -> Change:
    """A function changing each entry of a list."""
    return lambda value: list(map(change, value)) if isinstance(value, list) else value


def _secret(path_of: Change) -> Change:
    return lambda value: value if str(value).startswith(CREDENTIAL) else path_of(value)


def _in_full(key: str, kinds: Any, value: Any) -> Any:
    """`{key: value}` if the value is of these kinds, a short form; other values unchanged."""
    return {key: value} if isinstance(value, kinds) else value


def _without_empty(value: Any, *keys: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: each for key, each in value.items() if each is not None or key not in keys}


def _as_it_is(value: Any) -> Any:
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _one_in_list(value: Any) -> Any:
    """Lists a number too: the error then asks for text, not for a list."""
    return [value] if isinstance(value, (str, int, float)) else value
