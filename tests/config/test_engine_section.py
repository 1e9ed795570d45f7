"""The section `engine`: of the embedded engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.load import load_config, load_engine
from daemon.config.models import Engine
from daemon.errors import ConfigError


def read(folder: Path, section: str) -> Engine:
    path = folder / "earshot.yaml"
    path.write_text(f"watch: [/srv/recordings]\ndatabase: earshot.db\nengine: {section}\n", "utf-8")
    return load_config(path, env={}).engine


def test_without_a_word_it_is_the_small_model_on_what_there_is(tmp_path: Path) -> None:
    engine = read(tmp_path, "")
    assert (engine.model, engine.device, engine.workers, engine.hosts) == ("base", "auto", None, ())
    assert not engine.allow_download


def test_workers_are_a_number_or_left_to_the_engine(tmp_path: Path) -> None:
    assert read(tmp_path, "{workers: 3}").workers == 3
    assert read(tmp_path, "{workers: auto}").workers is None
    # As `${NAME}` leaves it.
    assert read(tmp_path, "{workers: '3'}").workers == 3


def test_one_phrase_or_host_needs_no_list(tmp_path: Path) -> None:
    engine = read(
        tmp_path, "{hosts: LocalHost, examples: {cancel: close my account, refund: [a, b]}, api_key_file: k}"
    )
    assert engine.hosts == ("localhost",)
    assert engine.examples == {"cancel": ("close my account",), "refund": ("a", "b")}
    assert engine.api_key_file == tmp_path / "k"


def test_a_host_may_be_named_with_its_port(tmp_path: Path) -> None:
    hosts = ["Media.Example:08443", "[::1]:8080", "0:0::1", "127.0.0.1:80"]
    assert read(tmp_path, f"{{hosts: {hosts}}}").hosts == (
        *("media.example:8443", "[::1]:8080", "::1", "127.0.0.1:80"),
    )


@pytest.mark.parametrize(
    ("section", "key", "problem"),
    [
        ("{workers: 0}", "engine.workers", "must be auto, or a whole number from 1 to 64"),
        ("{workers: true}", "engine.workers", "must be auto, or a whole number from 1 to 64"),
        ("{device: gpu}", "engine.device", "must be one of auto, cpu, cuda"),
        ('{hosts: ["*.example.com"]}', "engine.hosts[0]", "must be one host"),
        ('{hosts: ["example.com:65536"]}', "engine.hosts[0]", "must be one host"),
        ('{hosts: ["example.com:"]}', "engine.hosts[0]", "must be one host"),
        ("{examples: {cancel: []}}", "engine.examples.cancel", "must not be empty"),
        ("{modle: base}", "engine.modle", "did you mean 'model'?"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_key(
    tmp_path: Path, section: str, key: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, section)
    (found,) = caught.value.problems
    assert found.key == key
    assert problem in found.problem


def test_an_engine_alone_needs_no_folders_and_reads_its_section_only(tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text("engine: {workers: 2}\nanalyzer: {api_key: '${NOT_SET}'}\n", "utf-8")
    assert load_engine(path, env={}).workers == 2
    path.write_text("{}\n", "utf-8")
    assert load_engine(path, env={}) == Engine()


def test_an_engine_alone_is_told_of_what_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text("engine: {workers: many, hosts: ['${NOT_SET}']}\nengin: {}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_engine(path, env={})
    assert {problem.key for problem in caught.value.problems} == {
        "engine.workers",
        "engine.hosts[0]",
        "engin",
    }
