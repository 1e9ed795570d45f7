"""What `earshot scan --existing` shows and asks before it takes in what `existing: skip` left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from daemon.cli.consent import ask, shown_estimate
from daemon.cli.options import Context
from daemon.cli.output import plural, print_line

if TYPE_CHECKING:
    from daemon.costs.estimate import Estimate


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What was put into the queue; with `is_running` a service works on it already."""

    queued: int
    total: Estimate
    is_running: bool

    def document(self) -> dict[str, Any]:
        """As `scan --json` prints it; a range is [least, most]."""
        hours, usd = self.total.hours, self.total.usd
        return {
            "recordings": self.queued,
            "hours": round(hours.usual, 2),
            "hours_range": [round(hours.least, 2), round(hours.most, 2)],
            "estimated_cost_usd": usd and round(usd.usual, 4),
            "estimated_cost_usd_range": usd and [round(usd.least, 4), round(usd.most, 4)],
        }


def take_in_existing(context: Context, *, yes: bool) -> TakenIn:
    """Queue what was left alone once a person agrees to the cost; without a yes, end the command."""
    from daemon.costs.estimate import estimate
    from daemon.runtime.one_pass import list_folders
    from daemon.storage.database import open_existing, transaction
    from daemon.storage.lock import daemon_status
    from daemon.storage.requeue import requeue_existing
    from daemon.storage.views import left_alone

    config = context.config
    is_running = bool(daemon_status(config.database)["running"])
    if not is_running:
        # Until a folder is listed, none of its recordings count as left alone.
        list_folders(config)
    folders = [folder.name for folder in config.watch]
    db = open_existing(config.database)
    try:
        total, ids = estimate(left_alone(db, folders), config)
        print_line(_sentence(total), err=True)
        if ids:
            ask("Take them in?", yes=yes)
        with transaction(db):
            queued = requeue_existing(db, ids, datetime.now(UTC))
    finally:
        db.close()
    return TakenIn(queued, total, is_running)


def _sentence(total: Estimate) -> str:
    if not total.recordings:
        return "nothing was left alone"
    return f"{plural(total.recordings, 'recording')} left alone, {shown_estimate(total)}"
