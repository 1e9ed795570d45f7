"""The parts of a reply that hold words: alternatives, paragraphs, utterances, as Deepgram shapes them."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from daemon.engine.sentences import Sentence, utterances
from daemon.engine.sentiment import labelled, weighted_mean
from daemon.engine.words import Word, mean_confidence

SENTENCES_PER_PARAGRAPH = 5


def alternative(sentences: Sequence[Sentence], *, with_paragraphs: bool) -> dict[str, Any]:
    """One channel's transcript and words, in paragraphs too where that is asked for."""
    words = [word for sentence in sentences for word in sentence.words]
    shown: dict[str, Any] = {
        "transcript": " ".join(sentence.text for sentence in sentences),
        "confidence": round(mean_confidence(words), 4),
        "words": _word_entries(sentences),
    }
    if with_paragraphs and sentences:
        shown["paragraphs"] = _paragraphs(sentences)
    return shown


def utterance_entries(channels: Sequence[Sequence[Sentence]], pause_seconds: float) -> list[dict[str, Any]]:
    """The utterances of all channels in order of time."""
    runs = [run for sentences in channels for run in utterances(sentences, pause_seconds)]
    runs.sort(key=lambda run: (run[0].words[0].start, run[0].channel))
    return [
        {
            "start": run[0].words[0].start,
            "end": run[-1].words[-1].end,
            "confidence": round(mean_confidence(_words(run)), 4),
            "channel": run[0].channel,
            "transcript": " ".join(sentence.text for sentence in run),
            "words": _word_entries(run),
            **_speaker(run[0]),
            "id": str(uuid5(NAMESPACE_URL, f"earshot:{run[0].channel}:{run[0].first}")),
            **_sentiment(run),
        }
        for run in runs
    ]


def _word_entries(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text,
            "start": word.start,
            "end": word.end,
            "confidence": word.confidence,
            "punctuated_word": word.punctuated,
            **_speaker(sentence),
            **_sentiment([sentence]),
        }
        for sentence in sentences
        for word in sentence.words
    ]


def _paragraphs(sentences: Sequence[Sentence]) -> dict[str, Any]:
    groups = _groups(sentences)
    paragraphs = [
        {
            "sentences": [_sentence_entry(sentence) for sentence in group],
            **_speaker(group[0]),
            "num_words": len(list(_words(group))),
            "start": group[0].words[0].start,
            "end": group[-1].words[-1].end,
            **_sentiment(group),
        }
        for group in groups
    ]
    return {"transcript": "\n" + "\n\n".join(_shown(group) for group in groups), "paragraphs": paragraphs}


def _groups(sentences: Sequence[Sentence]) -> list[list[Sentence]]:
    """Cut into paragraphs: another speaker begins one, and so does what follows five sentences."""
    groups: list[list[Sentence]] = []
    for sentence in sentences:
        goes_on = groups and groups[-1][0].speaker == sentence.speaker
        if goes_on and len(groups[-1]) < SENTENCES_PER_PARAGRAPH:
            groups[-1].append(sentence)
        else:
            groups.append([sentence])
    return groups


def _shown(group: Sequence[Sentence]) -> str:
    text = " ".join(sentence.text for sentence in group)
    speaker = group[0].speaker
    return text if speaker is None else f"Speaker {speaker}: {text}"


def _sentence_entry(sentence: Sentence) -> dict[str, Any]:
    times = {"start": sentence.words[0].start, "end": sentence.words[-1].end}
    return {"text": sentence.text, **times, **_sentiment([sentence])}


def _speaker(sentence: Sentence) -> dict[str, int]:
    return {} if sentence.speaker is None else {"speaker": sentence.speaker}


def _sentiment(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """The sentiment of sentences together, by words; nothing where it was not asked for."""
    scores = [sentence.score for sentence in sentences if sentence.score is not None]
    if not scores:
        return {}
    return labelled(weighted_mean(scores, [len(sentence.words) for sentence in sentences]))


def _words(sentences: Iterable[Sentence]) -> Iterable[Word]:
    return (word for sentence in sentences for word in sentence.words)
