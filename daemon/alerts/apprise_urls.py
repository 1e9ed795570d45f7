"""What Apprise makes of a URL: a service with its recipients and limits, and without a word of its own.

Importing Apprise and its services takes a third of a second and 15 MB: only where there is a destination.
"""

from __future__ import annotations

import logging

from apprise import Apprise, AppriseAsset, NotifyBase
from apprise.plugins.email import NotifyEmail

from daemon.alerts.targets import READABLE, SMALLEST
from daemon.config.destinations import service_problem

_RECIPIENT_LISTS = ("targets", "channels", "rooms", "users", "topics", "phone")
"""Where Apprise's plugins keep those whom one message goes to, each by a call of its own."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
"""Apprise waits 4 s by default, and takes a message for lost that a slow service did accept."""


def one_recipient_each(url: str, service: NotifyBase) -> list[str]:
    """A URL with several recipients as one URL for each, so that a bad one keeps no other from its message.

    Apprise calls a message failed when one of its recipients refuses it, and the retry would go to all. With
    cc or bcc the URL stays as it is: those would get every mail several times.
    """
    lists = {
        name: value for name in _RECIPIENT_LISTS if isinstance(value := getattr(service, name, None), list)
    }
    recipients = [(name, each) for name, value in lists.items() for each in value]
    copies = getattr(service, "cc", None) or getattr(service, "bcc", None)
    # A batch is one call to many: that cannot be refused by some of them.
    if len(recipients) < 2 or copies or len(service) != len(recipients):
        return [url]
    if not isinstance(service, NotifyEmail):
        # Some plugins keep them in a set on the way, and after a restart each must have the same number.
        recipients.sort(key=repr)
    urls = []
    for name, recipient in recipients:
        vars(service).update({each: [recipient] if each == name else [] for each in lists})
        urls.append(str(service.url(privacy=False)))  # type: ignore[no-untyped-call]
    vars(service).update(lists)
    others = [open_service(each) for each in urls]
    is_whole = all(_same_sender(service, other) for other in others) and len(set(urls)) == len(urls)
    return urls if is_whole else [url]


def _same_sender(service: NotifyBase, other: NotifyBase | None) -> bool:
    """Whether nothing was lost on the way through a URL, and it has one recipient."""
    if other is None or len(other) != 1 or other.url_identifier != service.url_identifier:
        return False
    names = (
        *("host", "port", "user", "password", "secure", "schema", "from_addr", "secure_mode", "smtp_host"),
        *("reply_to", "notify_format", "overflow_mode", "socket_connect_timeout", "socket_read_timeout"),
    )
    return all(getattr(service, name, None) == getattr(other, name, None) for name in names)


def limit_for(url: str) -> int:
    """How many characters a message to this URL may have; SMALLEST for one that Apprise does not know."""
    service = open_service(url)
    return SMALLEST if service is None else limit_of(service)[0]


def open_service(url: str) -> NotifyBase | None:
    """The Apprise service for exactly one URL, or None when there is none; nothing is sent or logged."""
    keep_quiet()
    # Checked silently first: Apprise writes a URL that it cannot load into its error.
    if service_problem(url) is not None:
        return None
    # No limit of its own: Apprise would hand the call to a shared pool of threads that a few hanging services
    # exhaust for all others. The sender has a thread and a limit for each target.
    # No redirects: one from http to https turns a POST into a GET without the message, and its 200 looks like
    # success. A URL with redirect=yes has its way.
    asset = AppriseAsset(app_id="earshot", app_desc="earshot", service_timeout=0, http_redirects=False)
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        return None
    # Both are said in URLs for other programs: the outbox tries again itself, for a day instead of a minute,
    # and what did not arrive is not sent, even where a URL calls that success.
    service.retry, service.optional = 0, False
    if "socket_connect_timeout" not in vars(service):
        service.socket_connect_timeout = max(service.socket_connect_timeout, CONNECT_SECONDS)
    if "socket_read_timeout" not in vars(service):
        service.socket_read_timeout = max(service.socket_read_timeout, READ_SECONDS)
    return service


def keep_quiet() -> None:
    """Keep the records of Apprise and urllib3 out of every log: they name hosts, paths, tokens and bodies.

    What Apprise reports about a failed message is captured from its own logger and classed, not passed on.
    """
    logging.getLogger("apprise").propagate = False
    for name in ("apprise", "urllib3"):
        chatty = logging.getLogger(name)
        chatty.setLevel(max(chatty.level, logging.WARNING))


def limit_of(service: NotifyBase) -> tuple[int, bool]:
    """How many characters a message may have, and whether its title counts as part of the body."""
    title_in_body = service.title_maxlen <= 0 or service.overflow_amalgamate_title
    return max(SMALLEST, min(int(service.body_maxlen), READABLE)), title_in_body
