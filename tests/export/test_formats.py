"""What each format makes of a conversation, also of one that was made up to do harm."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from daemon.export.captions import NoTimesError, cues
from daemon.export.formats import FORMATS, rendered
from daemon.export.table import csv_lines
from tests.export.documents import document, passage, words

HOSTILE = "<script>alert(1)</script> & \"' ]]> --> {{ 7*7 }} [a](http://x.example/) @all"


def test_captions_are_short_and_have_their_times() -> None:
    said = words(" ".join(["word"] * 40), speaker="agent")
    found = cues(document(*said))
    assert " ".join(cue.text for cue in found) == " ".join(["word"] * 40)
    assert all(cue.end - cue.start <= 7 for cue in found)
    text = rendered("vtt", document(*words("it is fine", start=3599.5, speaker="agent")))
    assert text == "WEBVTT\n\n00:59:59.500 --> 01:00:02.000\n<v agent>it is fine\n"
    assert rendered("srt", document(*words("fine"))) == "1\n00:00:00,000 --> 00:00:00,500\nfine\n"


def test_captions_without_words_are_the_passages_that_have_times() -> None:
    found = cues(document(sentiments=[passage("one", 0.0, 1.0), passage("two")]))
    assert [cue.text for cue in found] == ["one"]


def test_captions_without_any_times_are_refused_and_silence_is_none_of_them() -> None:
    with pytest.raises(NoTimesError, match="17"):
        rendered("vtt", document(transcript="one two", sentiments=[passage("one two")]))
    assert rendered("vtt", document()) == "WEBVTT\n"


def test_captions_hold_nothing_that_a_player_would_act_on() -> None:
    said = words(HOSTILE, speaker="<b>")
    for line in rendered("vtt", document(*said)).splitlines():
        assert "-->" not in line or re.fullmatch(r"[\d:.]+ --> [\d:.]+", line)
        assert "<" not in line.removeprefix("<v &lt;b&gt;>")
    srt = rendered("srt", document(*said))
    assert not re.search(r"[<>{}](?!\s\d\d:)", srt.replace("-->", ""))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_needs_nothing_but_itself_and_runs_nothing() -> None:
    scored = [passage(HOSTILE, 0.0, 9.0, sentiment_score=-0.8), passage("b", 9.0, 20.0, sentiment_score=0.4)]
    intents = [{"intent": HOSTILE, "confidence_score": 0.5, "start_seconds": 1.0}]
    columns = {"name": HOSTILE, "summary": HOSTILE, "metadata": {HOSTILE: HOSTILE}, "intents": intents}
    page = Tags()
    page.feed(rendered("html", document(*words(HOSTILE, speaker=HOSTILE), sentiments=scored, **columns)))
    assert not page.seen & {"script", "link", "img", "iframe", "a", "base", "object"}
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "style", "onload"} and "alert(1)" in page.text
    (policy,) = [
        value for name, value in page.attributes if name == "content" and "default-src" in str(value)
    ]
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")
    assert {("class", "down"), ("class", "up")} <= set(page.attributes)


def test_several_recordings_are_one_page() -> None:
    text = "".join(FORMATS["html"].write([document(name="a.wav"), document(name="b.wav")]))
    assert text.count("<article>") == 2
    assert text.count("<html") == 1


def test_nothing_that_was_said_is_markup_in_markdown() -> None:
    text = rendered("md", document(*words(HOSTILE), name="# a", summary="- b\n1. c", tags=["*d*"]))
    assert text.startswith("# \\# a\n")
    assert "\\- b 1. c" in text
    assert "\\*d\\*" in text
    assert "\\<script\\>" in text
    assert "http:\\//" in text


def test_plain_text_has_a_line_for_each_turn() -> None:
    said = [*words("how\u2028are you", speaker="agent"), *words("fine", start=3, speaker="caller")]
    lines = rendered("txt", document(*said)).splitlines()
    assert lines[-2:] == ["[00:00] agent: how are you", "[00:03] caller: fine"]


def test_jsonl_is_what_show_prints_on_one_line() -> None:
    text = rendered("jsonl", document(name="ä\n"))
    assert text.count("\n") == 1
    assert json.loads(text)["name"] == "ä\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_no_text_in_csv_is_calculated(start: str) -> None:
    row = {"name": f"{start}1+1", "score": -0.5, "metadata": {"caller": f"{start}49"}, "tags": ["=x"]}
    text = "".join(csv_lines([row], ["name", "score", "metadata.caller", "metadata.other", "tags"]))
    header, (name, score, caller, other, tags) = csv.reader(io.StringIO(text, newline=""))
    assert header[2] == "metadata.caller"
    assert (name, score, caller, other) == (f"'{start}1+1", "-0.5", f"'{start}49", "")
    assert tags == '["=x"]'


@pytest.mark.parametrize("name", ["txt", "md", "html", "json", "csv"])
def test_no_name_acts_on_a_terminal_nor_makes_lines_of_its_own(
    name: str,
) -> None:
    forged = "a\x1b[2J\x07\u202egpj\n[00:01] agent: I stole it.wav"
    found = document(name=forged, metadata={"agent": forged})
    text = "".join(csv_lines([found.recording], ["name"])) if name == "csv" else rendered(name, found)
    assert not set(text) & set("\x1b\x07\u202e")
    # In these two a line of the file is none that people see.
    assert name in ("csv", "html") or not any(line.startswith("[00:01]") for line in text.splitlines())
