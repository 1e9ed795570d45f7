"""Puts pydantic's errors into words that need no knowledge of pydantic.

No text repeats a value: it may be an API key or an alert URL in the wrong place.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from daemon.config.document import Finding, Location, shown_name
from daemon.config.models import Config

_NO_VALUE = "has no value; write one or remove the key"
_MUST_BE = {
    "string_type": "must be text; put it into quotes (YAML reads yes, no, on and off as true and false)",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be a path, as text",
    "tuple_type": "must be a list, such as [one, two]",
    "dict_type": "must be keys with values (key: value)",
    "model_type": "must be keys with values (key: value)",
}
_LIMITS = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "greater_than": ("gt", "must be more than {}"),
}
_MISSING = {
    "database": "is missing, and this user has no home folder for it; write a path",
    "path": "is missing; write the folder to watch",
    "name": "is missing; write a name for the rule",
    "when": "is missing; write at least one condition, such as average_sentiment: negative",
    "notify": "is missing; write the names of destinations, such as [team]",
}
_CONDITION = "must be conditions, such as {intent: cancel*}"
_CONDITIONS = "must be a list of conditions, such as [{intent: cancel*}, {topic: billing}]"
_FULL_FORMS = {
    "watch": "must be a folder's path, or keys with values of which one is path:",
    "destinations": "must be an alert URL, a list of them, or keys with values (urls:, urls_file:)",
    "any": _CONDITION,
    "all": _CONDITION,
}


def findings_of(error: ValidationError) -> Iterator[Finding]:
    """A finding for each of pydantic's errors."""
    for detail in error.errors(include_url=False):
        location: Location = detail["loc"]
        context: Mapping[str, Any] = detail.get("ctx", {})
        yield Finding(location, _problem(detail["type"], location, detail.get("input"), context))


def _problem(kind: str, location: Location, value: Any, context: Mapping[str, Any]) -> str:
    describe: Callable[[], str] = {
        "missing": lambda: _MISSING.get(str(location[-1]), "is missing"),
        "extra_forbidden": lambda: _unknown_key(location),
        "literal_error": lambda: _choices(context, value),
        "value_error": lambda: str(context["error"]),
        "too_long": lambda: f"must have at most {context['max_length']} entries",
        "too_short": lambda: "must not be empty",
        "model_type": lambda: _keys_expected(location),
        "tuple_type": lambda: _CONDITIONS if location[-1] in ("any", "all") else _MUST_BE["tuple_type"],
    }.get(kind, lambda: _MUST_BE.get(kind, "is not usable; compare it with config.example.yaml"))
    if value is None and kind != "value_error":
        return _NO_VALUE
    if kind in _LIMITS:
        name, text = _LIMITS[kind]
        return text.format(f"{context[name]:g}")
    return describe()


def _keys_expected(location: Location) -> str:
    return _FULL_FORMS.get(str(location[-2]) if len(location) > 1 else "", _MUST_BE["model_type"])


def _choices(context: Mapping[str, Any], value: Any) -> str:
    allowed = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must be one of {', '.join(allowed)}{hint}"


def _unknown_key(location: Location) -> str:
    key = str(location[-1])
    known = known_keys(location[:-1])
    if "://" in key:
        return f"a URL cannot be a key; known here: {', '.join(known)}"
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown key '{shown_name(key)}'; " + (
        f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
    )


def known_keys(location: Location) -> list[str]:
    """The keys that a mapping of the configuration may have."""
    current: Any = Config
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = _without_none(_fields(current)[str(part)].annotation)
        else:
            current = get_args(current)[1 if get_origin(current) is dict else 0]
    return sorted(_fields(current))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by their names in the file: `not` cannot be an attribute."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (None, tuple, dict):
        return annotation
    return next(option for option in get_args(annotation) if option is not type(None))
