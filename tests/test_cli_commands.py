"""What all commands have in common, held against each: help, examples, --json and --quiet, a file that is not there."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from graphopt.cli import help as cli_help
from graphopt.cli.main import _COMMANDS, build_app

GROUP = typer.main.get_command(build_app())
assert isinstance(GROUP, click.Group)
COMMANDS = GROUP.commands
WIDTH = 100
MISSING = {
    # What stands for a file that is not there, after the command.
    "check": "absent.onnx absent.onnx",
    "diff": "absent.onnx absent.onnx",
    "distill": "absent.onnx absent.onnx -o out.onnx --data absent.npz",
    "doctor": "absent.onnx",
    "factorize": "absent.onnx -o out.onnx --macs 50%",
    "extract": "absent.onnx -o out.onnx --outputs y",
    "prune": "absent.onnx -o out.onnx --macs 50%",
    "quantize": "absent.onnx -o out.onnx --target weights-int8",
    "rename": "absent.onnx a=b -o out.onnx",
    "reshape": "absent.onnx -o out.onnx --batch N",
    "shorten": "absent.onnx -o out.onnx --macs 50% --data absent.npz",
    "sparsify": "absent.onnx -o out.onnx --fraction 0.5",
    "view": "absent.onnx",
    "why": "absent.onnx node",
    "why-not": "absent.onnx node fold-pad",
    **dict.fromkeys(("compile", "optimize", "share"), "absent.onnx -o out.onnx"),
    **dict.fromkeys(("bench", "bisect", "inspect", "profile", "run", "serve", "tune"), "absent.onnx"),
}
TAKE_NO_FILE = {"cache", "passes"}


def told(*arguments: str) -> str:
    done = CliRunner().invoke(build_app(), arguments, prog_name="graphopt", env={"COLUMNS": str(WIDTH)})
    assert done.exit_code == 0, done.stderr
    return done.stdout


def examples() -> list[str]:
    return [line for command in COMMANDS.values() for line in cli_help.examples(command)]


@pytest.mark.parametrize("name", ["", *_COMMANDS])
def test_help_has_examples_and_fits_a_terminal(name: str) -> None:
    lines = told(*name.split(), "--help").splitlines()
    assert "Examples:" in lines
    assert any(line.startswith(f"  graphopt {name}".rstrip()) for line in lines)
    assert [line for line in lines if len(line) > WIDTH] == []


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    mute = [param.name for param in COMMANDS[name].params if not getattr(param, "help", None)]
    assert mute == []


@pytest.mark.parametrize("line", examples())
def test_an_example_is_a_command_line(line: str) -> None:
    """Read it as the command would, short of opening files."""
    for words in split_at_pipes(shlex.split(line)):
        if "graphopt" in words:  # behind variables or a launcher
            _, name, *arguments = words[words.index("graphopt") :]
            with COMMANDS[name].make_context(name, arguments) as context:
                assert context.params


def split_at_pipes(words: list[str]) -> list[list[str]]:
    parts = itertools.groupby(words, lambda word: word in {"|", "&&"})
    return [list(part) for is_pipe, part in parts if not is_pipe]


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_can_be_quiet_and_answer_in_json(name: str) -> None:
    options = {option for param in COMMANDS[name].params for option in param.opts}
    assert {"--quiet", "-q", "--json"} <= options


@pytest.mark.parametrize("name", _COMMANDS)
def test_options_stand_in_one_order(name: str) -> None:
    listed = [param.name for param in COMMANDS[name].params if isinstance(param, click.Option)]
    sorted_ = [one.name for options in cli_help.sections(COMMANDS[name].params).values() for one in options]
    assert listed == sorted_


def test_every_option_of_several_commands_is_the_same_everywhere() -> None:
    """One name has one spelling, one metavar and one way to be given."""
    forms: dict[str, set[tuple[str, ...]]] = {}
    for command in COMMANDS.values():
        for param in command.params:
            if isinstance(param, click.Option):
                forms.setdefault(cli_help.option_name(param), set()).add((*param.opts, str(param.is_flag)))
    assert {name: found for name, found in forms.items() if len(found) > 1} == {}


def test_every_command_has_its_place_in_the_help() -> None:
    assert set(_COMMANDS) <= {name for names in cli_help.GROUPS.values() for name in names}


@pytest.mark.parametrize("name", sorted(set(_COMMANDS) - TAKE_NO_FILE))
def test_a_missing_file_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build_app(), [name, *MISSING[name].split()])
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "absent" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", *_COMMANDS])
def test_wrong_usage_names_the_help(name: str) -> None:
    done = CliRunner().invoke(build_app(), [*name.split(), "--no-such-option"], prog_name="graphopt")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"`graphopt {name}".rstrip() + " --help` has examples" in done.stderr
    assert done.stderr.count("\n") == 1
