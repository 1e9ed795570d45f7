"""The database as a file, for `earshot doctor`: size, growth, what lies beside it, backups, integrity."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.cli.output import ago
from daemon.cli.patience import within
from daemon.cli.progress import busy_bar
from daemon.cli.report import Report
from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.copies import last_backup
from daemon.storage.database import upgrade_copies
from daemon.storage.inspection import (
    integrity_faults,
    monthly_growth_bytes,
    table_bytes,
    table_rows,
    used_bytes,
)
from daemon.storage.lock import beside_of
from daemon.storage.long_statements import watched
from daemon.text import shown_size

MONTHS_OF_ROOM = 3
LARGE_LOG_BYTES = 100_000_000
"""SQLite empties the write-ahead log at 4 MB, unless somebody reads."""

OLD_COPY = timedelta(days=30)
OLD_BACKUP = timedelta(days=8)
SHOWN_TABLES = 4
BACKUP_SECONDS = 2.0


def look_at_file(
    report: Report, path: Path, db: Database, now: datetime, *, quick: bool, quiet: bool
) -> None:
    """Add what there is to say of the file; `quick`: without reading all of it."""
    _look_at_size(report, path, db, now)
    _look_at_log(report, path)
    _look_at_copies(report, path, now)
    _look_at_backups(report, db, now)
    if quick:
        return
    with (
        busy_bar(f"reading the database ({shown_size(used_bytes(db))})", quiet=quiet),
        watched(db, lambda: None),
    ):
        if _look_at_integrity(report, db):
            _look_at_tables(report, db)


def _look_at_size(report: Report, path: Path, db: Database, now: datetime) -> None:
    size, growth = path.stat().st_size, monthly_growth_bytes(db, now)
    free = shutil.disk_usage(path.parent).free
    report.facts["database"] = {
        "path": str(path),
        "size_bytes": size,
        "used_bytes": used_bytes(db),
        "growth_bytes_per_month": growth,
        "free_bytes": free,
    }
    text = f"the database takes {shown_size(size)}"
    if growth is not None:
        text += f", about {shown_size(growth)} more each month at the pace of the last 30 days"
    if growth and free < growth * MONTHS_OF_ROOM:
        report.warning(
            None,
            f"{text}; {shown_size(free)} are free, not enough for {MONTHS_OF_ROOM} months: "
            "make room, or set `retention`",
        )
    else:
        report.fine.append(text)


def _look_at_log(report: Report, path: Path) -> None:
    try:
        size = beside_of(path, "-wal").stat().st_size
    except FileNotFoundError:
        size = 0
    report.facts["database"]["wal_bytes"] = size
    if size > LARGE_LOG_BYTES:
        text = (
            f"the write-ahead log has {shown_size(size)}: another program that reads the database keeps "
            "SQLite from emptying it; end that program"
        )
        report.warning(None, text)
    else:
        report.fine.append(f"the write-ahead log takes {shown_size(size)}")


def _look_at_copies(report: Report, path: Path, now: datetime) -> None:
    """Name what migrations left."""
    report.facts["upgrade_copies"] = []
    for copy in upgrade_copies(path).values():
        status = copy.stat()
        made = datetime.fromtimestamp(status.st_mtime, UTC)
        report.facts["upgrade_copies"].append(
            {"path": str(copy), "size_bytes": status.st_size, "made_at": iso(made)}
        )
        text = f"{copy}: {shown_size(status.st_size)}, from before an upgrade {ago(iso(made), now)}"
        if now - made > OLD_COPY:
            report.warning(
                None, f"{text}; delete it when this version has run well, what was erased since is in it"
            )
        else:
            report.fine.append(text)


def _look_at_backups(report: Report, db: Database, now: datetime) -> None:
    last = last_backup(db)
    report.facts["last_backup"] = last
    if last is None:
        text = "no backup is known; `earshot backup FOLDER --keep 14` makes one (docs/operate.md)"
        report.warning(None, text)
        return
    text = f"last backup {ago(last['at'], now)}: {last['path']}, {shown_size(last['size_bytes'])}"
    is_there: list[bool] = []
    # It may be on a share that hangs.
    within(BACKUP_SECONDS, lambda: is_there.append(Path(last["path"]).exists()))
    if not any(is_there):
        report.warning(None, f"{text}; it is not there any more, or its disk does not answer")
    elif iso(now - OLD_BACKUP) > last["at"]:
        report.warning(None, f"{text}; that is long ago, see to what makes them")
    else:
        report.fine.append(text)


def _look_at_tables(report: Report, db: Database) -> None:
    sizes = table_bytes(db)
    report.facts["tables"] = {"bytes": sizes, "rows": table_rows(db)}
    if sizes is None:
        shown = [f"{table} {count} rows" for table, count in report.facts["tables"]["rows"].items()]
        report.fine.append(f"tables: {', '.join(shown[:SHOWN_TABLES])} (this SQLite tells no sizes)")
        return
    shown = [f"{table} {shown_size(size)}" for table, size in sizes.items()]
    rest = sum(list(sizes.values())[SHOWN_TABLES:])
    report.fine.append(f"tables: {', '.join(shown[:SHOWN_TABLES])}, others {shown_size(rest)}")


def _look_at_integrity(report: Report, db: Database) -> bool:
    """Say whether the database is whole, and return it."""
    faults = integrity_faults(db)
    report.facts["integrity_faults"] = faults
    if not faults:
        report.fine.append("the database is whole (integrity_check)")
        return True
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    text = f"the database is damaged ({faults[0]}{more})"
    report.problem(None, f"{text}; check the disk, and put back a backup (docs/operate.md)")
    return False
