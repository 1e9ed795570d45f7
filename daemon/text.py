"""How text, scores and times are shown, and how text from outside is made harmless.

What callers say and what files are called can reach any chat channel.

Every service has its own markup and makes its own links, so nothing here is escaped for one of them: the
characters that any of them acts on are replaced by look-alikes, or separated by a zero-width space.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Sequence
from html.entities import html5

BREAK = "\u200b"
"""Zero-width space: not seen by people, but it ends a mention, a link or a pair of markup characters."""

ELLIPSIS = "…"
NAME_LENGTH = 60
"""Characters that are shown of the name of a rule, a speaker or a recording, of a metadata key or value."""

_MACRON = "\u02cd"

_DROPPED = frozenset({"Cc", "Cf"})
"""Controls (ESC) and format characters (bidi overrides, joiners, tags, marks of byte order)."""

# An angle quotation mark or a tilde operator looks like what it stands for, and no markup knows it.
_LOOK_ALIKES = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "`": "'", "*": "\u2217", "~": "\u223c"}
    | {at: at + BREAK for at in ("@", "\uff20")}
)
_DOUBLED = re.compile(r"([|\\])(?=\1)")
_UNDERLINE = re.compile(r"_{2,}")
_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?![^\W_])")
"""`_so_` is set in italics, `a_b` is not, nor is one of these alone."""

_REFERENCE = re.compile(r"&(?=(#|\w{1,40}(;|\Z)?))")
"""`&#64;`, `&commat;`, `&lt` and, at the end of a text, `&commat` where the next text may begin with `;`."""
_WITHOUT_SEMICOLON = tuple(name for name in html5 if not name.endswith(";"))

_MARKDOWN_LINK = re.compile(r"\](?=[(\[:])")
_WEB_HOST = re.compile(r"www\.(?=\w)", re.IGNORECASE)

# Chat programs make a link of `example.com`. A name that ends as recordings do is none, and stays as it is.
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
"""All but the tab and the ends of lines, and what turns the direction of a text around."""


def without_controls(text: str) -> str:
    """The text without characters that act on a terminal or turn its direction around; its lines stay."""
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
    """True when the whole text fits, whatever its letter case; only `*` and `?` stand for something else."""
    return fnmatch.fnmatchcase(text.casefold(), pattern.casefold().replace("[", "[[]"))


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters: cut after a sentence that ends late enough, else after a word, with `…`."""
    if len(text) <= limit:
        return text
    if limit <= 0:
        return ""
    room = text[: limit - 1]
    sentence = max(room.rfind(end) for end in (". ", "! ", "? "))
    if sentence >= limit // 2:
        return room[: sentence + 2] + ELLIPSIS
    # A word that ends exactly where the room does is whole.
    word = len(room) if text[len(room)] == " " else room.rfind(" ")
    kept = room[:word] if word >= limit // 2 else room
    return kept.rstrip(" ,;:" + BREAK) + ELLIPSIS


def shorten_front(text: str, limit: int) -> str:
    """At most `limit` characters of the end: of a path, the last part says most."""
    return text if len(text) <= limit else ELLIPSIS + text[len(text) - limit + 1 :]


def harmless_name(text: str) -> str:
    """A name from outside: harmless, and at most NAME_LENGTH characters of it."""
    return shorten(harmless(text), NAME_LENGTH)


def shown_score(score: float) -> str:
    """A score with two decimals and an ASCII minus, never `-0.00`."""
    return f"{round(score, 2) + 0.0:.2f}"


def shown_confidence(confidence: float) -> str:
    """Like a score, but never 0.00 for more than nothing: even right answers can be as low as that."""
    return f"{confidence:.1g}" if 0.0 < confidence < 0.005 else shown_score(confidence)


def shown_clock(seconds: float) -> str:
    """`mm:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"


def shown_recording(
    recording_id: int, name: str, score: float | None, rules: Sequence[str], link: str | None
) -> str:
    """A recording as a line of a list: its score, its name, the rules that fired, where to find it."""
    line = f"{'not scored' if score is None else shown_score(score)} {harmless_name(name)}"
    if rules:
        line += ": " + ", ".join(map(harmless_name, rules))
    if link is not None:
        line += " " + link.replace("{id}", str(recording_id)).replace("{seconds}", "0")
    return line


def fitting(start: Sequence[str], lists: Sequence[tuple[str, Sequence[str]]], room: int) -> str:
    """The start and as many of the lists, line by line in their order, as `room` characters hold.

    Each of `lists` is a heading and its lines. A start that is too long itself is shortened.
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
    """The ampersand, parted from what follows where a service could take both for one character."""
    name, end = found[1], found[2]
    if name == "#" or end == ";" or name.startswith(_WITHOUT_SEMICOLON):
        return "&" + BREAK
    return "&" + BREAK if end is not None and name + ";" in html5 else "&"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category == "Cs":
        # A lone surrogate cannot be encoded, and would end every attempt to store or send the message.
        return "\ufffd"
    return "" if category in _DROPPED else character
