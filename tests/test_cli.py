"""The command line as a script meets it: exit codes, what goes where, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from graphopt import __version__
from graphopt.cli import main as cli
from graphopt.cli.options import InputShape, parse_input_shape
from graphopt.errors import ModelError, PassFailureError
from graphopt.pipeline.presets import DEFAULT_PRESET

HEAVY = ("onnx", "onnx_ir", "onnxruntime", "tvm", "networkx", "numpy", "archspec")
runner = CliRunner()


def graphopt(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graphopt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def failing(error: BaseException) -> typer.Typer:
    """Return the app with one more command, which raises."""
    app = cli.build_app()

    def command() -> None:
        raise error

    app.command("fail")(command)
    return app


@pytest.mark.parametrize("arguments", [["--help"], ["optimize", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from graphopt.cli.main import main
sys.argv = ["graphopt", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
assert not (loaded := [name for name in {HEAVY!r} if name in sys.modules]), loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_optimize_imports_only_what_it_needs(tmp_path: Path) -> None:
    """Most of the time of a small model is imports: these take as long as all passes together."""
    needless = ("onnxruntime", "tvm", "networkx", "pydantic")
    code = f"""
import sys
from graphopt.cli.main import main
sys.argv = ["graphopt", "optimize", "models/digits/digits.onnx", "-o", {str(tmp_path / "small.onnx")!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
assert not (loaded := [name for name in {needless!r} if name in sys.modules]), loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["", *cli._COMMANDS])
def test_every_help_has_an_example(command: str) -> None:
    result = runner.invoke(cli.build_app(), [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"graphopt {command}".strip() in result.stdout.partition("Examples:")[2]


def test_version() -> None:
    assert runner.invoke(cli.build_app(), ["--version"]).stdout == f"graphopt {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ModelError("'x.onnx': broken\nin two lines"), 3, "error: 'x.onnx': broken in two lines\n"),
        (PassFailureError("a pass failed", pass_text=DEFAULT_PRESET), 70, "error: a pass failed\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (KeyError("k"), 70, "error: KeyError: 'k'; this is a bug in graphopt, `graphopt --traceback …` shows where\n"),
    ],
)
def test_an_exception_is_one_line_and_a_code(error: BaseException, code: int, sentence: str) -> None:
    result = runner.invoke(failing(error), ["fail"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", sentence)


def test_the_traceback_is_shown_on_request() -> None:
    result = runner.invoke(failing(KeyError("k")), ["--traceback", "fail"])
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["optimize"],
        ["optimize", "m.onnx"],
        ["inspect", "m.onnx", "--input-shape", "1,3,8,8"],
        ["inspect", "m.onnx", "--input-shape", "x:1,3,-8,8"],
        ["inspect", "m.onnx", "--input-shape", "x:1x3x8x8"],
        ["inspect", "m.onnx", "--input-shape", "x:1", "--input-shape", "x:2"],
        ["inspect", "m.onnx", "--json", "--text"],
        ["optimize", "m.onnx", "-o", "o.onnx", "--pipeline", "", "--preset", "O1"],
        ["optimize", "m.onnx", "-o", "o.onnx", "--data", "f.npz"],
        ["optimize", "m.onnx", "-o", "o.onnx", "--check", "thorough"],
        ["compile", "m.onnx", "-o", "p", "--threads", "0"],
        ["run", ".", "--target", "onnxruntime"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    result = runner.invoke(cli.build_app(), arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("x:1,3,224,224", InputShape("x", (1, 3, 224, 224))),
        ("input:0:N,?,0", InputShape("input:0", ("N", None, 0))),
        ("scalar:", InputShape("scalar", ())),
    ],
)
def test_input_shapes(text: str, shape: InputShape) -> None:
    assert parse_input_shape(text) == shape


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["inspect", "absent.onnx"], 3, "absent.onnx"),
        (["check", "absent.onnx", "absent.onnx"], 3, "absent.onnx"),
        (["run", "absent.onnx"], 3, "absent.onnx"),
        (["run", "."], 3, "no compiled program"),
        (["run", "absent.onnx", "--input", "x"], 6, "name=file.npy"),
        (["run", "absent.onnx", "--input", "x=absent.npy"], 6, "absent.npy"),
        (["passes", "fold-constant"], 4, "`graphopt passes` lists them"),
        (["optimize", "absent.onnx", "-o", "out.onnx", "--preset", "O9"], 4, "O2"),
        (["optimize", "absent.onnx", "-o", "out.onnx", "--pipeline", "no-such-pass"], 4, "no-such-pass"),
        (["optimize", "absent.onnx", "-o", "absent/out.onnx"], 8, "there is no directory"),
        (["optimize", "absent.onnx", "-o", "."], 8, "it is a directory"),
        (["compile", "absent.onnx", "-o", "full"], 8, "would be lost"),
        (["compile", "absent.onnx", "-o", "program", "--target", "gpu"], 5, "gpu"),
        (["compile", "absent.onnx", "-o", "program", "--precision", "fp16"], 5, "fp32, bf16, auto"),
        (["bench", "absent.onnx", "--target", "onnxruntime", "--precision", "bf16"], 5, "that of the model"),
        (["profile", "absent.onnx", "--target", "onnxruntime", "--precision", "bf16"], 5, "that of the model"),
    ],
)
def test_the_user_can_mend_it(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/thesis.tex").touch()
    result = runner.invoke(cli.build_app(), arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "thesis.tex"]


def test_passes_lists_the_presets() -> None:
    listed = json.loads(runner.invoke(cli.build_app(), ["passes", "--json"]).stdout)
    assert listed["default_preset"] in listed["presets"]
    preset = runner.invoke(cli.build_app(), ["passes", listed["default_preset"]]).stdout
    assert preset.strip() == listed["presets"][listed["default_preset"]]


def test_a_pass_is_described_with_its_options() -> None:
    listed = json.loads(runner.invoke(cli.build_app(), ["passes", "--json"]).stdout)
    described = next(one for one in listed["passes"] if one["options"])
    text = runner.invoke(cli.build_app(), ["passes", described["name"]]).stdout
    assert described["summary"] in text
    assert all(option["name"] in text for option in described["options"])


def test_no_colour_where_there_is_no_terminal() -> None:
    assert "\x1b" not in graphopt("passes").stdout


def test_the_cache_is_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "entry").mkdir(parents=True)
    (tmp_path / "cache" / "entry" / "code").write_bytes(bytes(1500))
    assert "1.5 kB" in runner.invoke(cli.build_app(), ["cache"]).stdout
    cleared = json.loads(runner.invoke(cli.build_app(), ["cache", "--clear", "--json"]).stdout)
    assert cleared == {"folder": str(tmp_path / "cache"), "bytes": 0, "tuned": {}, "damage": None, "removed": 1}
