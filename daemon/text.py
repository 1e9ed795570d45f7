"""Shows text, scores and times, and makes text from outside harmless.

The words of callers and names of files can reach any chat channel.

Every service has its own markup and links, so there is no escaping for a single one: characters that mean
something to any service are replaced by look-alikes, or separated by a zero-width space.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from html.entities import html5

BREAK = "\u200b"
"""Zero-width space: people do not see it, but it breaks up mentions, links and pairs of markup."""

ELLIPSIS = "…"
MOST_FIELDS = 4
"""Fields of the metadata in a line."""

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff"
    "\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without blanks: each of their characters is a
word of its own, in the full-text index (`recordings_text` in storage/schema) as in the phrases of rules."""
# Not compiled here, which takes so many classes of characters milliseconds: most commands use neither.
_UNSPACED = f"[{UNSPACED}]"
_UNSPACED_MARKS = "\u3001\u3002\u300c-\u300f\uff01\uff0c\uff1f"
_NEEDLESS_BLANK = f"(?<=[{UNSPACED}{_UNSPACED_MARKS}]) (?=[{UNSPACED}{_UNSPACED_MARKS}])"

NAME_LENGTH = 60
"""In characters: the limit for a rule's, speaker's or recording's name, a metadata key or value."""

_MACRON = "\u02cd"

_DROPPED = frozenset({"Cc", "Cf"})
"""Controls (ESC) and format characters (bidi overrides, joiners, tags, marks of byte order)."""

# An angle quotation mark or a tilde operator looks like what it replaces, and no markup uses it.
_LOOK_ALIKES = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "`": "'", "*": "\u2217", "~": "\u223c"}
    | {at: at + BREAK for at in ("@", "\uff20")}
)
_DOUBLED = re.compile(r"([|\\])(?=\1)")
_UNDERLINE = re.compile(r"_{2,}")
_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?![^\W_])")
"""The marks of italics as in `_so_`, not that in `a_b`."""

_REFERENCE = re.compile(r"&(?=(#|\w{1,40}(;|\Z)?))")
"""`&#64;`, `&commat;`, `&lt` and, at the end of a text, `&commat` where the next text may begin with `;`."""
_WITHOUT_SEMICOLON = tuple(name for name in html5 if not name.endswith(";"))

_MARKDOWN_LINK = re.compile(r"\](?=[(\[:])")
_WEB_HOST = re.compile(r"www\.(?=\w)", re.IGNORECASE)

# Chat programs make a link of `example.com`, but not of a name such as `call.wav`: it stays as it is.
# (Except mov, which has become a top-level domain.)
_ENDINGS = "wav|ogg|oga|opus|flac|aac|wma|webm|amr|mp[234]|avi|mkv|aiff?|gsm|mpeg|mpg"
_DOMAIN = re.compile(
    rf"(?<=\w)\.(?!(?:[\w-]{{1,80}}\.){{0,5}}(?:{_ENDINGS})(?!\.?\w))(?=[^\W\d_]{{2,}}+(?!\d))",
    re.IGNORECASE,
)


_CONTROLS = dict.fromkeys(
    [code for code in (*range(32), *range(127, 160)) if code not in b"\t\n\r"]
    + [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Controls but the tab and line ends, and characters that change the text direction."""


def without_controls(text: str) -> str:
    """The text without terminal controls or changes of its direction; its lines stay."""
    return text.translate(_CONTROLS)


def harmless(text: str) -> str:
    """The text on one line, unable to ping anyone, to format or forge anything, or to become a link."""
    kept = text if text.isascii() and text.isprintable() else "".join(map(_visible, text))
    line = " ".join(kept.split()).translate(_LOOK_ALIKES).replace("://", "[:]//")
    line = _REFERENCE.sub(_undecodable, _UNDERLINE.sub(_with_macrons, line))
    emphasized, count = _EMPHASIS.subn(_MACRON, line)
    line = emphasized if count > 1 else line
    line = _MARKDOWN_LINK.sub("]" + BREAK, _DOUBLED.sub(r"\1" + BREAK, line))
    return _DOMAIN.sub("." + BREAK, _WEB_HOST.sub(lambda found: found[0] + BREAK, line))


def pattern_matches(pattern: str, text: str) -> bool:
    """True when the whole text matches, in any letter case; only `*` and `?` are wildcards."""
    return fnmatch.fnmatchcase(text.casefold(), pattern.casefold().replace("[", "[[]"))


def spaced_out(text: str | None) -> str | None:
    """The text with a zero-width space on either side of each UNSPACED character, as the index has it."""
    return text and re.sub(_UNSPACED, lambda found: BREAK + found[0] + BREAK, text)


def joined_words(words: Iterable[str]) -> str:
    """The words as one text, without blanks in scripts that have none."""
    return re.sub(_NEEDLESS_BLANK, "", " ".join(words))


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, `…` after a sentence or word that ends in the second half."""
    if len(text) <= limit:
        return text
    if limit <= 0:
        return ""
    room = text[: limit - 1]
    sentence = max(room.rfind(end) for end in (". ", "! ", "? "))
    if sentence >= limit // 2:
        return room[: sentence + 2] + ELLIPSIS
    # A word that ends exactly at the end of the room is whole.
    word = len(room) if text[len(room)] == " " else room.rfind(" ")
    kept = room[:word] if word >= limit // 2 else room
    return kept.rstrip(" ,;:" + BREAK) + ELLIPSIS


def shorten_front(text: str, limit: int) -> str:
    """The last `limit` characters at most: a path's last part says most."""
    return text if len(text) <= limit else ELLIPSIS + text[len(text) - limit + 1 :]


def harmless_name(text: str) -> str:
    """A name from outside: harmless, and at most NAME_LENGTH characters of it."""
    return shorten(harmless(text), NAME_LENGTH)


def shown_score(score: float) -> str:
    """A score with two decimals and an ASCII minus, never `-0.00`."""
    return f"{round(score, 2) + 0.0:.2f}"


def shown_confidence(confidence: float) -> str:
    """A confidence in percent: `63 %`; `0 %` only for zero, as even right answers can have 0.0006."""
    percent = confidence * 100
    if percent >= 1 or percent <= 0:
        return f"{percent + 0.0:.0f} %"
    return f"{Decimal(f'{percent:.1g}'):f} %"


def shown_meaning(kind: str, label: str, score: float | None) -> str:
    """What a passage was found to be: `sentiment -0.90`, `intent "cancel subscription", 63 %`, or nothing.

    Numbers of both kinds are otherwise easily taken for one another.
    """
    if kind == "sentiment":
        return "" if score is None else f"sentiment {shown_score(score)}"
    if kind == "phrase":
        return ""
    return f'{kind} "{harmless_name(label)}"' + ("" if score is None else f", {shown_confidence(score)}")


def shown_clock(seconds: float) -> str:
    """`mm:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"


def shown_usd(usd: float) -> str:
    """`12.30`; below a cent `0.0027`, so that something never looks like nothing."""
    if 0 < usd < 0.01:
        return f"{usd:.4f}" if usd >= 0.0001 else "0.0001"
    return f"{usd:.2f}"


def shown_size(count: float) -> str:
    """`3.7 MB`, as file managers do."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}" if count < 100 * factor else f"{count / factor:.0f} {unit}"
    return f"{count:.0f} B"


def shown_time(stored: str, zone: tzinfo | None) -> str:
    """A stored time by the clocks of a zone (None: the system's), which is named: `2026-03-01 10:00 CET`."""
    return f"{datetime.fromisoformat(stored).astimezone(zone):%Y-%m-%d %H:%M %Z}"


def shown_recording(
    recording_id: int,
    name: str,
    score: float | None,
    *,
    metadata: Mapping[str, str],
    link: str | None,
    rules: Sequence[str] = (),
    alert: int | None = None,
) -> str:
    """A recording as a line of a list: score, name, metadata (agent), rules that fired, link, ids."""
    line = f"{'not scored' if score is None else f'sentiment {shown_score(score)}'} {harmless_name(name)}"
    known = [f"{harmless_name(key)} {harmless_name(value)}" for key, value in metadata.items()]
    if known:
        line += f" ({', '.join(known[:MOST_FIELDS])})"
    if rules:
        line += ": " + ", ".join(map(harmless_name, rules))
    if link is not None:
        line += " " + link.replace("{id}", str(recording_id)).replace("{seconds}", "0")
    return line + (
        f" (recording {recording_id})" if alert is None else f" (alert {alert}, recording {recording_id})"
    )


def fitting(start: Sequence[str], lists: Sequence[tuple[str, Sequence[str]]], room: int) -> str:
    """The start, then as many lines of the lists, in order, as fit into `room` characters.

    Each of `lists` is a heading and its lines. A start that is too long is shortened.
    """
    text = "\n".join(start)
    for heading, lines in lists:
        for number, line in enumerate(lines):
            longer = f"{text}\n{line}" if number else f"{text}\n\n{heading}\n{line}"
            if len(longer) > room:
                return shorten(text, room)
            text = longer
    return shorten(text, room)


def _with_macrons(found: re.Match[str]) -> str:
    return _MACRON * len(found[0])


def _undecodable(found: re.Match[str]) -> str:
    """`&`, with a BREAK after it if a service could read it and the next text as one character."""
    name, end = found[1], found[2]
    if name == "#" or end == ";" or name.startswith(_WITHOUT_SEMICOLON):
        return "&" + BREAK
    return "&" + BREAK if end is not None and name + ";" in html5 else "&"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category == "Cs":
        # A lone surrogate cannot be encoded: every attempt to store or send the message would fail.
        return "\ufffd"
    return "" if category in _DROPPED else character
