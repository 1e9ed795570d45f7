"""Which folders can be watched by events."""

from pathlib import Path

import pytest

from daemon.config.models import WatchFolder
from daemon.watching.mounts import look_seconds, read_mounts, rescan_seconds, settle_seconds, watch_method

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/share rw - nfs4 server:/x rw,vers=4.2
31 22 0:41 / /srv/my\040calls rw master:2 - cifs //nas/calls rw
32 22 0:42 / /srv/mixed/deep/remote rw - fuse.sshfs me@host: rw
33 22 0:43 / /srv/over rw - nfs server:/y rw
34 33 0:44 / /srv/over rw - tmpfs tmpfs rw
broken line
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTINFO)
    return file


@pytest.mark.parametrize(
    ("path", "method", "reason"),
    [
        ("/srv/local", "events", "local file system"),
        ("/srv/share", "poll", "nfs4 mount"),
        ("/srv/share/sub", "poll", "nfs4 mount"),
        ("/srv/sharealike", "events", "local file system"),
        ("/srv/my calls/x", "poll", "cifs mount"),
        ("/srv/mixed", "poll", "fuse.sshfs mount at /srv/mixed/deep/remote"),
        ("/srv/mixed/other", "events", "local file system"),
        ("/srv/over", "events", "local file system"),
    ],
)
def test_network_and_fuse_mounts_are_polled_also_below_the_folder(
    mountinfo: Path, path: str, method: str, reason: str
) -> None:
    found = watch_method(WatchFolder(path=Path(path)), read_mounts(mountinfo))
    assert (found.method, found.reason) == (method, reason)


def test_the_configured_method_wins(mountinfo: Path) -> None:
    mounts = read_mounts(mountinfo)
    assert watch_method(WatchFolder(path=Path("/srv/share"), method="events"), mounts).method == "events"
    assert watch_method(WatchFolder(path=Path("/srv/local"), method="poll"), mounts).method == "poll"


def test_a_file_is_remote_by_the_mount_it_is_on(mountinfo: Path) -> None:
    found = watch_method(WatchFolder(path=Path("/srv/mixed")), read_mounts(mountinfo))
    assert found.is_remote("deep/remote/a.wav")
    assert not found.is_remote("deep/a.wav")


def test_intervals_are_the_configured_ones_else_what_suits_the_mount(mountinfo: Path) -> None:
    mounts = read_mounts(mountinfo)
    local, share = WatchFolder(path=Path("/srv/local")), WatchFolder(path=Path("/srv/share"))
    assert rescan_seconds(local, "events") == 60
    assert rescan_seconds(share, "poll") == 10
    assert rescan_seconds(WatchFolder(path=Path("/srv/share"), rescan=60.0), "poll") == 60
    assert settle_seconds(local, watch_method(local, mounts)) == 2
    assert settle_seconds(share, watch_method(share, mounts)) == 5
    chosen = WatchFolder(path=Path("/srv/share"), settle=1.0)
    assert settle_seconds(chosen, watch_method(chosen, mounts)) == 1


def test_this_machine_has_a_root_mount() -> None:
    assert any(mount.point == "/" for mount in read_mounts())


def test_on_shares_known_files_are_not_looked_at_at_every_listing(mountinfo: Path) -> None:
    mounts = read_mounts(mountinfo)
    assert look_seconds(watch_method(WatchFolder(path=Path("/srv/share")), mounts)) == 60
    assert look_seconds(watch_method(WatchFolder(path=Path("/srv/local"), method="poll"), mounts)) == 0
