"""The configuration as a YAML file: what is no YAML, and what YAML allows and earshot does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.load import load_config
from daemon.errors import ConfigError, ConfigProblem

ENV = {"HOME": "/home/ear"}


def the_problem(folder: Path, content: bytes | str) -> ConfigProblem:
    file = folder / "config.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as raised:
        load_config(file, env=ENV)
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        (b"", 1, "is empty"),
        (b"# only a comment\n", 1, "is empty"),
        (b"- a\n- b\n", 1, "top level must be keys"),
        (b"watch: [/a]\nanalyzer:\n\tmodel: x\n", 3, "a tab indents"),
        (b"watch: [/a]\nanalyzer: {a: b\n", 2, "bracket opened here"),
        (b"watch: [/a]\nheartbeat: {\n  url: ${ADDRESS}, every: 5m}\n", 3, "a variable needs quotes"),
        (b"watch: [/a, ${PLACE}]\n", 1, "a variable needs quotes"),
        (b"watch:\n  - path: /a\n    include: [*.wav]\n", 3, 'needs quotes, such as "*.wav"'),
        (b"watch:\n  - path: /a\n    include: *wav\n", 3, 'needs quotes, such as "*.wav"'),
        (b"watch: [/a]\nanalyzer: {model: 'x}\nalerts: {}\n", 2, "the quote opened here"),
        (b'watch: ["C:\\x"]\n', 1, "use single quotes"),
        (b"watch: [/a]\nalerts: a: b\n", 2, "a second `: `"),
        (b"watch: [/a]\n---\nwatch: [/b]\n", 2, "second document"),
        (b"watch: [/a]\nnonsense\n", 2, "write `key: value`"),
        (b"watch: [/a]\nanalyzer: {model: @x}\n", 2, "needs quotes"),
        (b"watch: [/a]\nanalyzer: {model: \xff}\n", 2, "not UTF-8"),
        (b"watch: [/a]\nanalyzer: {model: a\x01}\n", 2, "control character"),
        (b"#" * 1_000_001, None, "larger than 1 MB"),
        (b"a: " + b"[" * 20_000, None, "nested too deeply"),
        (b"a: " + b"[" * 40 + b"]" * 40, 1, "nested too deeply"),
        (b"a: &a [*a]\n", 1, "nested too deeply"),
        (b"a: &a {<<: *a}\n", None, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_by_line(
    tmp_path: Path, content: bytes, line: int | None, part: str
) -> None:
    problem = the_problem(tmp_path, content)
    assert (problem.line, problem.key) == (line, "")
    assert part in problem.problem


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    assert "more than 20000 values" in the_problem(tmp_path, bomb).problem


@pytest.mark.parametrize(
    ("text", "line", "key", "part"),
    [
        ("watch: [/a]\nanalyzer: {}\nwatch: [/b]\n", 3, "watch", "given twice, first on line 1"),
        ("watch: [/a]\nanalyzer:\n  model: a\n  model: b\n", 4, "analyzer.model", "first on line 3"),
        (
            "watch: [/a]\nanalyzer: {concurrency: " + "9" * 5000 + "}\n",
            2,
            "analyzer.concurrency",
            "readable number",
        ),
        ("watch: [/a]\nanalyzer:\n  model: !x a\n", 3, "analyzer.model", "YAML tags"),
        ("watch:\n  - !!python/object:os.system {}\n", 2, "watch[0]", "YAML tags"),
        ("watch: [/a]\nanalyzer:\n  ? [a]\n  : b\n", 3, "analyzer", "a key must be plain text"),
    ],
)
def test_what_yaml_would_take_silently_is_refused(
    tmp_path: Path, text: str, line: int, key: str, part: str
) -> None:
    problem = the_problem(tmp_path, text)
    assert (problem.line, problem.key) == (line, key)
    assert part in problem.problem


def test_a_file_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    for path, part in ((tmp_path / "none.yaml", "-c FILE"), (tmp_path, "name the configuration file in it")):
        with pytest.raises(ConfigError) as raised:
            load_config(path, env=ENV)
        (problem,) = raised.value.problems
        assert problem.file == str(path)
        assert problem.line is None
        assert part in problem.problem
