"""The page of a recording and its sound."""

from __future__ import annotations

import json
import os
import re
import zlib
from datetime import timedelta
from pathlib import Path

import pytest

import daemon
from daemon.models import Ending, RecordingState
from tests.harness import wav
from tests.web.places import CALL, SAME, Place, hum, reply_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</title>"


def test_the_moment_of_the_alert_comes_first_with_its_reason_and_its_buttons(place: Place) -> None:
    number = place.add(agent="Ines")
    text = place.client().get(f"/recordings/{number}?t=43").text
    moment = text.index('class="moment box" id="t=43"')
    assert moment < text.index("<blockquote>“Every time I&#39;m told") < text.index('class="deck box')
    assert "-0.79, below -0.70; intent &#34;cancel contract&#34;" in text
    assert (
        f'action="/alerts/1/verdict"><input type="hidden" name="back" value="/recordings/{number}?t=43">'
        in text
    )
    assert f'<source src="/recordings/{number}/audio#t=43">' in text
    # A confidence never looks like a score.
    assert '<span class="quiet">97 %</span>' in text
    assert text.count('id="t=43"') == 1 and 'id="t=29"' in text


def test_each_passage_has_the_starts_of_its_words(place: Place) -> None:
    number = place.add()
    text = place.client().get(f"/recordings/{number}").text
    passages = re.findall(r'data-t="([\d.]+)" data-w="([\d ]+)"', text)
    assert [float(start) for start, _ in passages] == [start for _, start, _, _ in CALL]
    assert [len(words.split()) for _, words in passages] == [len(said.split()) for _, _, said, _ in CALL]
    assert passages[2][1] == "0 40 80 120 160"


def test_without_the_stored_reply_everything_but_the_words_stays(place: Place) -> None:
    number = place.add()
    place.sql("DELETE FROM responses")
    text = place.client().get(f"/recordings/{number}").text
    assert "they cannot be clicked" in text and "data-w" not in text
    assert "nobody ever does" in text and 'id="t=29"' in text


def test_a_search_is_marked_as_it_finds(place: Place) -> None:
    number = place.add(
        reply=reply_of([(0, 1.0, "Café refunds; a Refund, refunding <b>", 0.0)], intents=(), topics=())
    )
    text = place.client().get(f"/recordings/{number}?q=cafe+%22refund%22").text
    assert re.findall("<mark>(.*?)</mark>", text) == ["Café", "Refund"]
    text = place.client().get(f"/recordings/{number}?q=refund*").text
    assert re.findall("<mark>(.*?)</mark>", text) == ["refunds", "Refund", "refunding"]


def test_nothing_from_outside_becomes_markup(place: Place) -> None:
    call = [(0, 1.0, HOSTILE, -0.8)]
    reply = reply_of(
        call, summary=HOSTILE, intents=[(0, f"cancel {HOSTILE}", 0.9)], topics=[(0, HOSTILE, 0.9)]
    )
    number = place.add(f"{HOSTILE.replace('/', '')}.wav", reply, agent=HOSTILE)
    client = place.client()
    for path in (f"/recordings/{number}?q={HOSTILE}", "/recordings/1?t=<script>"):
        text = client.get(path).text
        assert (
            "<script>alert" not in text
            and "<img src" not in text
            and "49" not in re.findall(r"\{\{.*?\}\}", text)
        )
        assert "&lt;script&gt;" in text


def test_a_failed_recording_says_why_and_can_be_tried_again(place: Place) -> None:
    number = place.add(
        ending=Ending(RecordingState.FAILED, "incomplete", "the file is cut off; copy it again")
    )
    client = place.client()
    text = client.get(f"/recordings/{number}").text
    assert "<b>Cut off.</b> the file is cut off; copy it again" in text and "Send as it is" in text
    assert client.post(f"/recordings/{number}/retry", headers=SAME).status_code == 303
    assert "In the queue" in client.get(f"/recordings/{number}").text
    place.sql("UPDATE recordings SET state = 'done'")
    answer = client.post(f"/recordings/{number}/retry", headers=SAME)
    assert answer.status_code == 409 and "recording" in answer.text


def test_times_are_those_of_the_configured_zone(place: Place) -> None:
    number = place.add(ago=timedelta(hours=14))
    assert "Today 00:31" in place.client().get(f"/recordings/{number}").text


def test_the_sound_comes_by_ranges(place: Place) -> None:
    sound = wav("a", seconds=1.0)
    number = place.add(sound=sound)
    client = place.client()
    path = f"/recordings/{number}/audio"
    whole = client.get(path)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, sound, "audio/wav")
    size = len(sound)
    for header, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-", 100, size - 1),
        ("bytes=-10", size - 10, size - 1),
        (f"bytes=5-{size * 9}", 5, size - 1),
        # Safari plays nothing of a server that answers these with 200.
        ("bytes=0-", 0, size - 1),
        (f"bytes=0-{size - 1}", 0, size - 1),
    ):
        answer = client.get(path, headers={"range": header})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert answer.content == sound[first : last + 1]
    for header in ("bytes=5-4", "bytes=0-1,5-6", "lines=1-2", "bytes=-"):
        answer = client.get(path, headers={"range": header})
        assert (answer.status_code, answer.content) == (200, sound)
    answer = client.get(path, headers={"range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert client.head(path).headers["content-length"] == str(size)


@pytest.mark.parametrize("trick", ["link", "folder", "other", "gone", "pipe"])
def test_no_other_file_is_ever_played(place: Place, tmp_path: Path, trick: str) -> None:
    number = place.add()
    file = place.calls / "20261126-141203_ines_1042.wav"
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret" * 3000)
    if trick == "folder":
        place.calls.rename(tmp_path / "before")
        inner = tmp_path / "inner"
        inner.mkdir()
        place.calls.mkdir()
        (place.calls / "sub").symlink_to(inner)
        (inner / file.name).write_bytes(b"secret" * 3000)
        place.sql("UPDATE recordings SET source = ?", os.fsencode(place.calls / "sub" / file.name))
    else:
        file.unlink()
    if trick == "link":
        file.symlink_to(secret)
    elif trick == "other":
        file.write_bytes(b"secret" * 3000)
    elif trick == "pipe":
        os.mkfifo(file)
    answer = place.client().get(f"/recordings/{number}/audio")
    assert answer.status_code == 410 and "secretsecret" not in answer.text


def test_only_recordings_of_the_database_are_played(place: Place) -> None:
    place.add()
    client = place.client()
    for path in (
        "/recordings/2/audio",
        "/recordings/../etc/passwd",
        "/recordings/1/audio/../../x",
        "/static/../app.py",
    ):
        assert client.get(path).status_code == 404
    assert client.get("/recordings/99999999999999999999999/audio").status_code == 404


def test_a_hosted_recording_is_played_where_it_is(place: Place) -> None:
    number = place.add()
    place.sql("UPDATE recordings SET is_url = 1, source = ?", b"https://media.example.com:8443/a.mp3?key=1")
    client = place.client()
    answer = client.get(f"/recordings/{number}/audio")
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://media.example.com:8443/a.mp3?key=1"
    page = client.get(f"/recordings/{number}")
    assert "media-src 'self' https://media.example.com:8443;" in page.headers["content-security-policy"]
    assert "key=1" not in page.text


@pytest.mark.parametrize(
    ("name", "start"), [("txt", "20261126"), ("vtt", "WEBVTT"), ("srt", "1\n"), ("md", "# "), ("json", "{")]
)
def test_the_transcript_can_be_taken_away(place: Place, name: str, start: str) -> None:
    number = place.add()
    answer = place.client().get(f"/recordings/{number}/transcript.{name}")
    assert answer.text.startswith(start)
    assert (
        f'filename="{number}-20261126-141203_ines_1042.wav.{name}"' in answer.headers["content-disposition"]
    )


def test_channels_stand_in_lanes_with_the_scores_of_their_passages(place: Place) -> None:
    number = place.add(sound=hum(1.0))
    place.sql("UPDATE sentiments SET start_seconds = NULL, end_seconds = NULL, speaker = NULL")
    body = json.loads(zlib.decompress(place.sql("SELECT body FROM responses")[0]["body"]))
    words = body["results"]["channels"][0]["alternatives"][0]["words"]
    body["results"]["channels"] = [
        {"alternatives": [{"transcript": "", "words": [word for word in words if word["speaker"] == each]}]}
        for each in (0, 1)
    ]
    place.sql("UPDATE responses SET body = ?", zlib.compress(json.dumps(body).encode()))
    text = place.client().get(f"/recordings/{number}").text
    assert 'class="talk lanes"' in text
    assert '<p class="b"><span class="vh">channel 1: </span>Hi, I&#39;m calling' in text
    assert 'nobody ever does. <span class="chip neg">' in text


def test_the_shape_of_the_sound_is_drawn_once_and_goes_with_the_recording(place: Place) -> None:
    number = place.add(sound=hum(3.0))
    client = place.client()
    drawn = client.get(f"/recordings/{number}/waveform.svg")
    assert drawn.headers["content-type"] == "image/svg+xml" and drawn.text.count("L") > 900
    (place.calls / "20261126-141203_ines_1042.wav").unlink()
    assert client.get(f"/recordings/{number}/waveform.svg").text == drawn.text
    place.sql("DELETE FROM recordings")
    assert place.sql("SELECT * FROM waveforms") == []
    assert "path" not in client.get(f"/recordings/{number}/waveform.svg").text


def test_what_browsers_do_not_play_has_a_preview(place: Place) -> None:
    sample = (Path(daemon.__file__).parent / "samples" / "thanks.mp3").read_bytes()
    number = place.add("call.amr", sound=sample)
    broken = place.add("broken.gsm", sound=b"nothing that could be heard" * 100)
    client = place.client()
    assert (
        f"/{number}/audio"
        not in re.findall(r"<audio.*?</audio>", client.get(f"/recordings/{number}").text)[0]
    )
    for _ in range(2):
        heard = client.get(f"/recordings/{number}/preview", headers={"range": "bytes=0-99"})
        assert (heard.status_code, heard.headers["content-type"]) == (206, "audio/mpeg")
        assert heard.content[0] == 0xFF or heard.content[:3] == b"ID3"
    assert client.get(f"/recordings/{broken}/preview").status_code == 410
    assert "path" not in client.get(f"/recordings/{broken}/waveform.svg").text
