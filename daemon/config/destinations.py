"""Whether an alert URL is one that Apprise can send to, said without any part of it that is secret."""

from __future__ import annotations

import difflib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apprise

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9]{0,30})://")


def service_problem(url: str) -> str | None:
    """What is wrong with an Apprise URL, or None when a message could be sent to it.

    Nothing is sent or connected. The text names at most the scheme.
    """
    match = _SCHEME.match(url)
    if match is None:
        return "is no alert URL; write SCHEME://…, for example slack://, mailtos:// or json://"
    if _service(url) is not None:
        return None
    scheme = match[1].lower()
    if scheme == "msteams":
        return "msteams:// is gone, Microsoft ended its connectors; use workflows:// (Power Automate)"
    if scheme in ("http", "https"):
        name = "json" if scheme == "http" else "jsons"
        return f"a web address alone is no alert URL; write {name}:// to post JSON to it"
    known = _known_schemes()
    if scheme in known:
        return (
            f"Apprise cannot use this {scheme}:// URL; compare its parts with the Apprise"
            f" documentation of {scheme}://, and percent-encode special characters in passwords"
        )
    near = difflib.get_close_matches(scheme, known, n=1)
    hint = f"did you mean {near[0]}://?" if near else "see the list of services in the Apprise documentation"
    return f"Apprise knows no service {scheme}://; {hint}"


def service_name(url: str) -> str:
    """The service behind an Apprise URL ("Slack", "JSON"), for people; never a part of the URL."""
    service = _service(url)
    return "unknown service" if service is None else str(service.service_name)


def _service(url: str) -> apprise.NotifyBase | None:
    # Importing Apprise and its 150 services takes half a second, which commands without alerts need not wait.
    from apprise import Apprise

    try:
        with _silence():
            return Apprise.instantiate(url)
    except (TypeError, ValueError, LookupError, AttributeError):
        # Some services' parsers fall over malformed URLs instead of refusing them.
        return None


def _known_schemes() -> list[str]:
    from apprise.plugins import N_MGR

    return sorted(N_MGR.schemas())  # type: ignore[no-untyped-call]


@contextmanager
def _silence() -> Iterator[None]:
    """Drops what Apprise logs in this thread: it writes a URL that it cannot load into its error."""
    thread = threading.get_ident()
    logger = logging.getLogger("apprise")

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)
