"""The Apprise service behind an alert URL, or what is wrong with the URL, said without any secret part of it.

Only this module loads Apprise and keeps its loggers quiet. Importing it with its 150 services takes a third
of a second and 15 MB, so this waits for the first URL: without destinations it is never done.
"""

from __future__ import annotations

import difflib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daemon.config.document import shown_name

if TYPE_CHECKING:
    from apprise import NotifyBase

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
"""By default Apprise waits 4 s, and calls a message lost that a slow service did accept."""

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9]{0,30})://")


def service_problem(url: str) -> str | None:
    """What is wrong with an Apprise URL; None if a message could be sent to it.

    It sends and connects nothing. The text names only the scheme.
    """
    match = _SCHEME.match(url)
    if match is None:
        return "is no alert URL; write SCHEME://…, for example slack://, mailtos:// or json://"
    if open_service(url) is not None:
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
    return f"Apprise knows no service {shown_name(scheme)}://; {hint}"


def service_name(url: str) -> str:
    """The name of the URL's service ("Slack", "JSON"), for people; never a part of the URL."""
    service = open_service(url)
    return "unknown service" if service is None else str(service.service_name)


def open_service(url: str) -> NotifyBase | None:
    """The Apprise service for exactly one URL, or None when there is none; nothing is sent or logged."""
    from apprise import Apprise, AppriseAsset

    # No limit of its own: Apprise would hand the call to a shared pool of threads that a few hanging services
    # exhaust for all others. The sender has a thread and a limit for each target.
    # No redirects: one from http to https turns a POST into a GET without the message, and its 200 looks like
    # success. A URL with redirect=yes still allows them.
    asset = AppriseAsset(app_id="earshot", app_desc="earshot", service_timeout=0, http_redirects=False)
    try:
        with _silence():
            service = Apprise.instantiate(url, asset=asset)
    except (TypeError, ValueError, LookupError, AttributeError):
        # For some services Apprise's parser raises on malformed URLs instead of refusing them.
        return None
    if service is None:
        return None
    # URLs may set both, but for other programs: the outbox itself tries again, for a day instead of a minute,
    # and a message that did not arrive counts as not sent, even if the URL says `optional`.
    service.retry, service.optional = 0, False
    if "socket_connect_timeout" not in vars(service):
        service.socket_connect_timeout = max(service.socket_connect_timeout, CONNECT_SECONDS)
    if "socket_read_timeout" not in vars(service):
        service.socket_read_timeout = max(service.socket_read_timeout, READ_SECONDS)
    return service


def keep_quiet() -> None:
    """Keep the records of Apprise and urllib3 out of every log: they name hosts, paths, tokens and bodies.

    Call this before anything is sent. What Apprise logs about a failed message is captured from its own
    logger and put into our words, not passed on.
    """
    logging.getLogger("apprise").propagate = False
    for name in ("apprise", "urllib3"):
        chatty = logging.getLogger(name)
        chatty.setLevel(max(chatty.level, logging.WARNING))


def _known_schemes() -> list[str]:
    from apprise.plugins import N_MGR

    return sorted(N_MGR.schemas())  # type: ignore[no-untyped-call]


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what Apprise logs in this thread: its errors show URLs that it cannot load."""
    thread = threading.get_ident()
    logger = logging.getLogger("apprise")

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)
