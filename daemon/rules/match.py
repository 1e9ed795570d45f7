"""Which rules fire for an analyzed recording, and why. Pure: records in, records out.

Conditions have three values, as in SQL: what was not analyzed is unknown (None), and an unknown condition
fires nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from daemon.config.models import Rule, When
from daemon.models import Analysis, Conversation, Match, Recording, shown_address, shown_path
from daemon.rules.conditions import content_findings, place_findings
from daemon.rules.logic import Finding, all_of, any_of, negated
from daemon.rules.sentiment import sentiment_findings


def conversation_of(recording: Recording, analysis: Analysis) -> Conversation:
    """Return what the rules need to know of a claimed recording and its analysis."""
    return Conversation(
        recording_id=recording.id,
        name=recording.name,
        path=shown_address(recording.source) if recording.is_url else shown_path(recording.source),
        folder=recording.folder,
        recorded_at=recording.recorded_at,
        modified_at=recording.modified_at,
        analysis=analysis,
        tags=recording.tags,
        metadata=recording.metadata,
        quiet=recording.quiet,
        muted=recording.again == "quiet",
    )


def matches(rules: Iterable[Rule], conversation: Conversation) -> list[Match]:
    """Return the rules that fire, in the order of the configuration."""
    found = []
    for rule in rules:
        finding = evaluated(rule, conversation)
        if finding.truth:
            found.append(Match(rule.name, rule.severity, rule.notify, finding.reasons, finding.segments))
    return found


def evaluated(rule: Rule, conversation: Conversation) -> Finding:
    """Say whether a rule holds for a conversation, and why; outside of its folders it does not."""
    if not _in_folders(rule.folders, conversation):
        return Finding(False)
    return _evaluated(rule.when, None, conversation)


def _evaluated(when: When, speakers: Sequence[str] | None, conversation: Conversation) -> Finding:
    """All conditions of a mapping; `speakers` are those of the mapping around it."""
    speakers = when.speaker or speakers
    findings = [
        *sentiment_findings(when, speakers, conversation.analysis),
        *content_findings(when, conversation.analysis),
        *place_findings(when, conversation.tags, conversation.metadata),
    ]
    if when.any is not None:
        findings.append(any_of([_evaluated(inner, speakers, conversation) for inner in when.any]))
    if when.all is not None:
        findings.append(all_of([_evaluated(inner, speakers, conversation) for inner in when.all]))
    if when.not_ is not None:
        findings.append(negated(_evaluated(when.not_, speakers, conversation)))
    return all_of(findings)


def _in_folders(folders: Sequence[Path], conversation: Conversation) -> bool:
    """True when the recording, or the watched folder it came from, lies in one of them, or none is named."""
    if not folders:
        return True
    places = [PurePath(place) for place in (conversation.folder, conversation.path) if place]
    return any(place.is_relative_to(folder) for place in places for folder in folders)
