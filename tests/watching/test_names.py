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


def test_composed_and_decomposed_letters_match_each_other() -> None:
    accepts = recording_names(WatchFolder.model_validate({"path": "/r", "include": ["gespr\u00e4ch*"]}))
    assert accepts("Gespra\u0308ch 1.wav")
    assert accepts("Gespr\u00e4ch 1.wav")


@pytest.mark.parametrize(
    "name", [".git", ".stfolder", ".stversions", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"]
)
def test_directories_of_tools_are_ignored(name: str) -> None:
    assert is_ignored_directory(name)


def test_directories_of_people_are_not_ignored() -> None:
    assert not is_ignored_directory("2026-11 calls")


def test_inside_means_a_directory_that_the_walk_enters() -> None:
    assert is_inside("a.wav", recursive=False)
    assert is_inside("sub/a.wav", recursive=True)
    assert not is_inside("sub/a.wav", recursive=False)
    assert not is_inside("sub/.hidden/a.wav", recursive=True)
