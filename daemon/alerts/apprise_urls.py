"""What an Apprise service says of itself: its recipients, and how long a message may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.config.destinations import open_service

if TYPE_CHECKING:
    from apprise import NotifyBase

READABLE = 3500
"""Characters. Many services take more, but nobody reads it on a phone."""

SMALLEST = 160
"""Characters. A reason and the last line need that much; a service that takes less gets too much."""

_RECIPIENT_LISTS = ("targets", "channels", "rooms", "users", "topics", "phone")
"""The attributes in which Apprise's plugins keep the recipients of a message; each gets a call of its own."""


def one_recipient_each(url: str, service: NotifyBase) -> list[str]:
    """Split a URL with several recipients into one URL for each.

    Apprise calls a message failed when one of its recipients refuses it, and the retry would go to all.
    With cc or bcc the URL stays as it is: those people would get every mail several times.
    """
    lists = {
        name: value for name in _RECIPIENT_LISTS if isinstance(value := getattr(service, name, None), list)
    }
    recipients = [(name, each) for name, value in lists.items() for each in value]
    copies = getattr(service, "cc", None) or getattr(service, "bcc", None)
    # A batch is one call to many: that cannot be refused by some of them.
    if len(recipients) < 2 or copies or len(service) != len(recipients):
        return [url]
    # Loaded already, by the one who opened the service.
    from apprise.plugins.email import NotifyEmail

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
    """True when the service made of the new URL has one recipient and is the same in everything else."""
    if other is None or len(other) != 1 or other.url_identifier != service.url_identifier:
        return False
    names = (
        *("host", "port", "user", "password", "secure", "schema", "from_addr", "secure_mode", "smtp_host"),
        *("reply_to", "notify_format", "overflow_mode", "socket_connect_timeout", "socket_read_timeout"),
    )
    return all(getattr(service, name, None) == getattr(other, name, None) for name in names)


def limit_of(service: NotifyBase) -> tuple[int, bool]:
    """Return how many characters a message may have, and whether its title counts as part of the body."""
    title_in_body = service.title_maxlen <= 0 or service.overflow_amalgamate_title
    return max(SMALLEST, min(int(service.body_maxlen), READABLE)), title_in_body
