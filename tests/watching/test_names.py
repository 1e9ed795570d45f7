"""Which names count as recordings."""

import pytest

from daemon.config.models import WatchFolder
from daemon.watching.names import is_ignored_directory, is_inside, recording_names

DEFAULT = recording_names(WatchFolder.model_validate({"path": "/srv/r"}))


@pytest.mark.parametrize(
    "name",
    [
        "a.wav",
        "A.WAV",
        "b.Mp3",
        "call 1.m4a",
        "x.y.ogg",
        "deep/er/x.opus",
        "-rf.wav",
        "ü\udcff.flac",
        "a\nb.webm",
        "New Recording 4.qta",
        "msg0001.wav16",
    ],
)
def test_audio_and_video_names_in_any_case_are_recordings(name: str) -> None:
    assert DEFAULT(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a.txt",
            "wav",
            "README",
            ".hidden.wav",
            ".a.wav.Xy12Zq",
            "~$a.wav",
            "a.wav.part",
            "a.wav.tmp",
            "a.wav~",
        ),
        *("a.wav.crdownload", "a.filepart", "a.wav.partial", ".~lock.a.wav#", "a.wav.!sync", "Thumbs.db"),
        *(".syncthing.a.wav.tmp", "~syncthing~a.wav.tmp", "sub/.x.wav", "._a.wav", "a.wav.json"),
        # Samples without a header, which nobody can read without being told their rate.
        *("in.sln16", "in.g722", "in.ulaw"),
    ],
)
def test_unfinished_hidden_and_other_files_are_not(name: str) -> None:
    assert not DEFAULT(name)


def test_include_replaces_the_endings_and_exclude_narrows_them() -> None:
    folder = WatchFolder.model_validate(
        {"path": "/srv/r", "include": ["*.DAT", "inbox/*.wav"], "exclude": ["*_draft.*", "old/"]}
    )
    accepts = recording_names(folder)
    assert accepts("x.dat")
    assert accepts("Inbox/x.wav")
    assert not accepts("x.wav")
    assert not accepts("x_DRAFT.dat")
    assert not accepts("old/deep/x.dat")
    assert not accepts("x.dat.tmp")
    assert not accepts(".x.dat")


def test_letter_case_counts_where_the_folder_says_so() -> None:
    settings = {
        "path": "/srv/r",
        "include": ["*.wav", "Inbox/*"],
        "exclude": ["*DRAFT*"],
        "case_sensitive": True,
    }
    accepts = recording_names(WatchFolder.model_validate({"path": "/srv/r"} | settings))
    assert accepts("x.wav")
    assert not accepts("x.WAV")
    assert accepts("x_draft.wav")
    assert not accepts("x_DRAFT.wav")
    assert not accepts("inbox/x.mp3")


def test_composed_and_decomposed_letters_match_each_other() -> None:
    accepts = recording_names(WatchFolder.model_validate({"path": "/r", "include": ["gespr\u00e4ch*"]}))
    assert accepts("Gespra\u0308ch 1.wav")
    assert accepts("Gespr\u00e4ch 1.wav")


@pytest.mark.parametrize(
    "name",
    [
        *(".git", ".stfolder", ".stversions", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"),
        *("call.mp3.download", "x.mp3.part", "incomplete", "Incomplete", "x.crdownload", "~$call"),
        *(
            "call.wav.sb-a1b2c3d4-XyZ012",
            "(A Document Being Saved By QuickTime Player)",
            "Rar$DIa0.123",
            "7zO8C5B1A2D",
        ),
        *("_UNPACK_calls", "calls_unpackerred", "Network Trash Folder", "RECYCLER", "__MACOSX"),
    ],
)
def test_directories_of_tools_and_of_what_is_not_whole_are_ignored(name: str) -> None:
    assert is_ignored_directory(name)
    assert not is_inside(f"2026/{name}/call.mp3", recursive=True)


@pytest.mark.parametrize("name", ["2026-11 calls", "downloads", "parts", "temp.old", "7z", "complete"])
def test_directories_of_people_are_not_ignored(name: str) -> None:
    assert not is_ignored_directory(name)


def test_inside_means_a_directory_that_the_walk_enters() -> None:
    assert is_inside("a.wav", recursive=False)
    assert is_inside("sub/a.wav", recursive=True)
    assert not is_inside("sub/a.wav", recursive=False)
    assert not is_inside("sub/.hidden/a.wav", recursive=True)
