"""The body of `/v1/read`: `{"text": …}`, or `{"url": …}` of a text, or the text itself."""

import json
from dataclasses import dataclass

MAX_TEXT_BYTES = 2 << 20  # 150,000 tokens of English, which may be analyzed, have a third of it


class BadBody(Exception):
    """The body is not in one of the forms; str() says why."""


@dataclass(frozen=True, slots=True)
class TextBody:
    """A text, or the address of one."""

    text: str | None = None
    url: str | None = None


def read_body(body: bytes, content_type: str) -> TextBody:
    """Read a request's body; raises BadBody."""
    if content_type.partition(";")[0].strip().lower().startswith("text/"):
        return TextBody(text=body.decode("utf-8", "replace"))
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBody("Invalid JSON submitted.") from None
    if not isinstance(values, dict):
        raise BadBody("Invalid JSON submitted: expected an object with `text` or `url`")
    given = {name: values[name] for name in ("text", "url") if values.get(name) is not None}
    if len(given) != 1:
        raise BadBody("Invalid JSON submitted: expected exactly one of `text` and `url`")
    [(name, value)] = given.items()
    if not isinstance(value, str):
        raise BadBody(f"Invalid JSON submitted: `{name}` is no string")
    # What JSON can hold and no text: half of a pair of UTF-16.
    value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return TextBody(text=value) if name == "text" else TextBody(url=value)
