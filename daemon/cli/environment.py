"""Check what the configuration names: folders, database, disk space, key, API, destinations.

Nothing is created, no recording and no alert is sent; the one request goes to an address that costs nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from daemon.cli.not_taken import say_not_taken
from daemon.cli.patience import within
from daemon.cli.places import has_unit
from daemon.cli.report import Report
from daemon.config.after_analysis import Keep, MoveTo
from daemon.config.document import Location
from daemon.config.models import Config, Destination, Limits, WatchFolder, Webhook
from daemon.config.urls import is_deepgram_host
from daemon.errors import ConfigError, EarshotError
from daemon.text import shown_size

FOLDER_SECONDS = 5.0
"""A file system that takes longer to answer hangs."""
REFUSED = (401, 403)
CLOCK_SECONDS = 30.0
"""A clock that is kept right is nearer than that, whatever an answer takes."""


def look_at_environment(config: Config, file: Path, *, env: Mapping[str, str], offline: bool) -> Report:
    """Check everything outside the configuration file; reports every problem, not only the first."""
    report = Report(file)
    answering = [
        (number, folder)
        for number, folder in enumerate(config.watch)
        if _answers(report, ("watch", number, "path"), folder, _check_folder)
    ]
    watched = [folder for _, folder in answering]
    say_not_taken(report, config, watched, FOLDER_SECONDS)
    for number, folder in answering:
        _answers(report, ("watch", number), folder, partial(_check_afterwards, watched=watched))
    _check_database(report, config.database)
    _check_room(report, config)
    _check_analyzer(report, config, env, offline=offline)
    _check_limits(report, config)
    _check_terms(report, config)
    for name, destination in config.alerts.destinations.items():
        _check_destination(report, name, destination, env)
    for index, webhook in enumerate(config.webhooks):
        _check_webhook(report, index, webhook, env)
    _check_pages(report, config, env)
    _check_metrics_file(report, config.metrics_file)
    _check_silence(report, config)
    return report


def _check_pages(report: Report, config: Config, env: Mapping[str, str]) -> None:
    """Check what the web pages need; their address only while no service has it."""
    from daemon.config.secrets import web_token
    from daemon.config.values import listen_address
    from daemon.engine.connections import listen_on_port
    from daemon.storage.lock import daemon_status

    if config.web.listen is None:
        return
    try:
        web_token(config.web.token_file, env=env)
        address = listen_address(config.web.listen)
        if address is None or daemon_status(config.database)["running"]:
            return
        listen_on_port(*address, advice="end what has it, or write another one").close()
    except ConfigError as error:
        report.error(("web", "token_file"), error)
    except EarshotError as error:
        report.problem(("web", "listen"), str(error))
    else:
        report.fine.append(f"the web pages can be served on {config.web.listen}")


def _check_metrics_file(report: Report, path: Path | None) -> None:
    if path is None:
        return
    folder = path.parent
    if not folder.is_dir():
        report.problem(("metrics_file",), f"{folder} is not there; create it, or name the folder in use")
    elif not os.access(folder, os.W_OK | os.X_OK):
        report.problem(("metrics_file",), f"{folder} may not be written to; give earshot's user the right to")
    else:
        report.fine.append(f"metrics can be written to {path}")


def _check_silence(report: Report, config: Config) -> None:
    """Warn when nobody would be told that the service stands still."""
    if not config.alerts.operations:
        report.warning(
            ("alerts", "operations"),
            "nobody hears of it when the key is refused, the account is out of credit or a folder is gone; "
            "name destinations under operations:",
        )
    if config.heartbeat is None:
        report.warning(
            ("heartbeat",),
            "nobody hears of it when earshot itself is dead; write heartbeat: {url: …} with the address of a "
            "dead-man service, or have a monitor run `earshot status --check`",
        )


def _answers(
    report: Report,
    location: Location,
    folder: WatchFolder,
    check: Callable[[Report, Location, WatchFolder], None],
) -> bool:
    """Check a folder; False when its file system does not answer, as a share without its server."""
    if within(FOLDER_SECONDS, lambda: check(report, location, folder)):
        return True
    report.problem(location, f"{folder.path} does not answer; see to the server or the network of its share")
    return False


def _check_folder(report: Report, location: Location, folder: WatchFolder) -> None:
    from daemon.watching.mounts import watch_method

    try:
        with os.scandir(folder.path) as entries:
            next(entries, None)
        if not os.access(folder.path, os.X_OK):
            raise PermissionError(None, "its files may not be opened")
    except FileNotFoundError:
        report.problem(
            location, f"{folder.path} is not there; create or mount it, it is watched once it appears"
        )
    except OSError as error:
        report.problem(location, f"{folder.path} cannot be read: {error.strerror}")
    else:
        method = watch_method(folder)
        how = "watched by events" if method.method == "events" else "polled"
        report.fine.append(f"folder {folder.path} can be read, {how} ({method.reason})")


def _check_afterwards(
    report: Report, location: Location, folder: WatchFolder, watched: Sequence[WatchFolder]
) -> None:
    for key, action in (("after_success", folder.after_success), ("after_failure", folder.after_failure)):
        if isinstance(action, MoveTo):
            _check_target(report, (*location, key, "move_to"), folder, action.folder, watched)
        if not isinstance(action, Keep) and folder.path.is_dir() and not os.access(folder.path, os.W_OK):
            text = f"{folder.path} may not be written to, so nothing can be moved or deleted there"
            report.problem((*location, key), text)


def _check_target(
    report: Report, location: Location, folder: WatchFolder, target: Path, watched: Sequence[WatchFolder]
) -> None:
    around = next((each for each in watched if _leads_into(target, each)), None)
    if not target.is_dir():
        report.problem(location, f"{target} is not there; create or mount it, files wait for it")
    elif not os.access(target, os.W_OK | os.X_OK):
        report.problem(location, f"{target} may not be written to; give earshot's user the right to")
    elif around is not None:
        report.problem(location, f"{target} leads into the watched folder {around.path}; write another one")
    else:
        report.fine.append(f"originals of {folder.path} can be moved to {target}")


def _leads_into(target: Path, folder: WatchFolder) -> bool:
    """True when files moved to the target appear in the folder again, because of symbolic links."""
    real, watched = os.path.realpath(target), os.path.realpath(folder.path)
    return real == watched or (folder.recursive and real.startswith(watched.rstrip("/") + "/"))


def _check_database(report: Report, path: Path) -> None:
    from daemon.storage.database import open_existing

    try:
        # Not `exists`: it raises or returns False where this user has no access.
        path.stat()
    except FileNotFoundError:
        above = _nearest(path)
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            report.fine.append(f"database {path} is not there yet and can be created")
        else:
            report.problem(
                ("database",),
                f"{path} cannot be created: no permission to write to {above}; "
                "run this as the user of the service, or name a place of your own",
            )
        return
    except OSError as error:
        report.problem(("database",), f"{path} cannot be used: {error.strerror}")
        return
    try:
        open_existing(path).close()
    except EarshotError as error:
        report.error(("database",), error)
    else:
        report.fine.append(f"database {path} can be used")


def _check_room(report: Report, config: Config) -> None:
    try:
        free = shutil.disk_usage(_nearest(config.database)).free
    except OSError as error:
        report.problem(("database",), f"its free space cannot be determined: {error.strerror}")
        return
    room = f"{shown_size(free)} free beside the database"
    if free < config.min_free:
        report.problem(("min_free",), f"only {room}; make room, or the queue stays paused")
    else:
        report.fine.append(room)


def _check_analyzer(report: Report, config: Config, env: Mapping[str, str], *, offline: bool) -> None:
    from daemon.config.secrets import KEY_CREDENTIAL_FILE, api_key

    base_url = config.analyzer.base_url
    if base_url == "embedded":
        _check_engine(report, config.engine.model)
        return
    try:
        key = api_key(config, env=env)
    except ConfigError as error:
        report.error(("analyzer", "api_key_file"), error)
        if has_unit() and "CREDENTIALS_DIRECTORY" not in env:
            text = (
                "if the service gets its key as a credential: systemd-run -qPG -p User=earshot"
                f" -p LoadCredential=deepgram_api_key:{KEY_CREDENTIAL_FILE} … earshot check"
            )
            report.warning(("analyzer", "api_key_file"), text)
        return
    report.fine.append("API key present" if key else "no API key, as a self-hosted address may have it")
    if offline:
        report.fine.append(f"{base_url} not asked (--offline)")
    else:
        _ask_api(report, base_url.rstrip("/"), key)


def _check_limits(report: Report, config: Config) -> None:
    """Note a cost limit that cannot work because the model's price is unknown."""
    from daemon.deepgram.request import requests_by_folder

    requests = requests_by_folder(config)
    scopes: list[tuple[Location, Limits, list[str | None]]] = [(("limits",), config.limits, list(requests))]
    for number, folder in enumerate(config.watch):
        scopes.append((("watch", number, "limits"), folder.limits, [folder.name]))
    for location, limits, folders in scopes:
        unknown = {requests[name].model for name in folders if requests[name].price.per_minute is None}
        if unknown and (limits.cost_per_day or limits.cost_per_month):
            models = ", ".join(sorted(unknown))
            text = f"holds nothing: the price of {models} is not known; write it under prices.models"
            report.problem(location, text)


def _check_terms(report: Report, config: Config) -> None:
    """Warn of custom intents and topics that are not sent, because their feature is not asked for."""
    base = config.analyzer
    found: dict[tuple[Location, str], str] = {}
    for terms, feature in (("custom_intents", "intents"), ("custom_topics", "topics")):
        for number, folder in enumerate(config.watch):
            own = folder.analyzer
            features = base.features if own.features is None else own.features
            own_terms = getattr(own, terms)
            wanted = getattr(base, terms) if own_terms is None else own_terms
            if wanted and feature not in features:
                is_own = own_terms is not None or own.features is not None
                key = terms if own_terms is not None or own.features is None else "features"
                place: Location = ("watch", number, "analyzer") if is_own else ("analyzer",)
                found[(*place, key), terms] = feature
    for (location, terms), feature in found.items():
        report.warning(location, f"{terms} are not looked for without {feature} among features; add it there")


def _check_engine(report: Report, model: str) -> None:
    from daemon.engine.weights import SENTENCES, find, need_packages

    try:
        need_packages()
    except EarshotError as error:
        report.error(("analyzer", "base_url"), error)
        return
    report.fine.append("the embedded engine is installed")
    try:
        report.fine.append(f"its models are there: {find(model)} and {find(SENTENCES)}")
    except EarshotError as error:
        report.error(("engine", "model"), error)


def _ask_api(report: Report, base_url: str, key: str | None) -> None:
    from daemon.deepgram.client import unpaid_look

    try:
        look = unpaid_look(base_url, key)
    except EarshotError as error:
        report.problem(("analyzer", "base_url"), f"{base_url} cannot be asked: {error}")
        return
    status = look.status
    if look.date is not None:
        _check_clock(report, look.date, base_url)
    if status in REFUSED:
        text = f"{base_url} refuses the API key ({status}); put in a valid one"
        report.problem(("analyzer", "api_key_file"), text)
    elif 200 <= status < 300:
        report.fine.append(f"{base_url} answers" + (" and accepts the key" if key else ""))
    elif status == 404 and not is_deepgram_host(urlsplit(base_url).hostname or ""):
        report.fine.append(f"{base_url} answers (without /v1/projects, as a self-hosted Deepgram does)")
    else:
        report.problem(
            ("analyzer", "base_url"), f"{base_url} answers {status}; check the address, or try later"
        )


def _check_clock(report: Report, theirs: datetime, base_url: str) -> None:
    ahead = (datetime.now(UTC) - theirs).total_seconds()
    report.facts["clock_ahead_seconds"] = round(ahead, 1)
    if abs(ahead) > CLOCK_SECONDS:
        by = "ahead of" if ahead > 0 else "behind"
        text = (
            f"the clock of this machine is {abs(ahead):.0f} s {by} that of {base_url}; have it kept right "
            "(systemd-timesyncd, chrony): quiet hours, digests and limits go by it"
        )
        report.warning(("analyzer", "base_url"), text)
    else:
        report.fine.append("the clock is right, by that of the API")


def _check_destination(report: Report, name: str, destination: Destination, env: Mapping[str, str]) -> None:
    from daemon.config.destinations import service_name
    from daemon.config.secrets import destination_urls

    try:
        urls = destination_urls(destination, env=env)
    except ConfigError as error:
        report.error(("alerts", "destinations", name, "urls_file"), error)
        return
    number = "1 URL" if len(urls) == 1 else f"{len(urls)} URLs"
    report.fine.append(f"destination {name}: {number} ({', '.join(service_name(url) for url in urls)})")
    if destination.template is not None:
        _check_template(report, name, destination)


def _check_template(report: Report, name: str, destination: Destination) -> None:
    from daemon.alerts.targets import destination_template

    try:
        destination_template(destination)
    except ConfigError as error:
        report.error(("alerts", "destinations", name, "template"), error)
    else:
        report.fine.append(f"template {destination.template} can be used")


def _check_webhook(report: Report, index: int, webhook: Webhook, env: Mapping[str, str]) -> None:
    from daemon.config.secrets import webhook_secret

    try:
        webhook_secret(webhook, env=env)
    except ConfigError as error:
        report.error(("webhooks", index, "secret_file"), error)
    else:
        report.fine.append(f"webhook {webhook.label}: on {', '.join(webhook.on)}")


def _nearest(path: Path) -> Path:
    """Return the closest folder above `path` that exists."""
    return next(folder for folder in path.absolute().parents if folder.exists())
