"""What a person sees on a terminal and beside one: colours, widths, progress, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from graphopt.cli import start
from graphopt.cli.console import mention, say, show
from graphopt.cli.main import build_app
from graphopt.cli.progress import progress
from graphopt.ir.save import save
from tests.networks import network
from tests.terminals import on_terminal

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
DIGITS = Path(__file__).parents[1] / "models" / "digits" / "digits.onnx"
LONG = {
    "compile": "compile {model} -o out --no-cache",
    "optimize": "optimize {model} -o out --check rewrite",
    "quantize": "quantize {model} -o out --data feeds.npz --method auto",
    "bench": "bench {model} --against onnxruntime --repeats 4000",
    "check": "check {model} {model} --seeds 100000",
}


@pytest.mark.parametrize("arguments", [["passes", "nothing"], ["passes", "fold-constants"], ["passes", "--help"]])
def test_colours_are_for_terminals(arguments: list[str]) -> None:
    assert COLOURS.search(on_terminal(*arguments))
    assert not COLOURS.search(on_terminal(*arguments, NO_COLOR="1"))
    assert not COLOURS.search(on_terminal(*arguments, TERM="dumb"))
    assert not COLOURS.search(piped(*arguments))
    assert COLOURS.search(piped(*arguments, FORCE_COLOR="1"))
    assert not COLOURS.search(piped(*arguments, FORCE_COLOR="1", NO_COLOR="1"))


@pytest.mark.parametrize("columns", [60, 90])
@pytest.mark.parametrize("arguments", [["passes"], ["prune", "--help"]])
def test_lines_are_as_wide_as_the_terminal(arguments: list[str], columns: int) -> None:
    lines = COLOURS.sub("", on_terminal(*arguments, columns=columns)).splitlines()
    assert columns - 20 < max(map(len, lines)) <= columns


def test_progress_is_for_terminals() -> None:
    shown = on_terminal("check", str(DIGITS), str(DIGITS), "--seeds", "200")
    assert "comparing: running" in shown
    assert re.search(r"\d+/200", shown)
    assert " left" in shown
    assert shown.rstrip().endswith("tolerance 0.0001)")
    quiet = on_terminal("check", str(DIGITS), str(DIGITS), "--seeds", "20", "--quiet")
    assert quiet == ""
    assert "comparing" not in piped("check", str(DIGITS), str(DIGITS), "--seeds", "20")


@pytest.mark.parametrize("line", ["rename model.onnx y=z", "optimize model.onnx", "extract model.onnx --outputs y"])
def test_quiet_leaves_out_what_was_not_asked_for(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(network(), tmp_path / "model.onnx")
    arguments = [*line.split(), "-o", "out.onnx"]
    quiet = CliRunner().invoke(build_app(), [*arguments, "-q"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    before = CliRunner().invoke(build_app(), ["--quiet", *arguments])
    assert (before.exit_code, before.output) == (0, "")
    assert "out.onnx: written" in CliRunner().invoke(build_app(), arguments).stdout
    found = json.loads(CliRunner().invoke(build_app(), [*arguments, "-q", "--json"]).stdout)
    assert found["output"] == "out.onnx"


def test_errors_are_told_quietly_too() -> None:
    done = CliRunner().invoke(build_app(), ["inspect", "absent.onnx", "--quiet"])
    assert done.exit_code == 3
    assert done.stderr.startswith("error: ")


def test_quiet_commands_show_what_they_are_for() -> None:
    app = build_app()
    app.command("tell", cls=app.registered_commands[0].cls)(_tell)
    assert CliRunner().invoke(app, ["tell"]).output == "asked for\nbeside\naside\n"
    assert CliRunner().invoke(app, ["tell", "-q"]).output == "asked for\n"


def _tell() -> None:
    show("asked for")
    mention("beside")
    say("aside")


def test_nothing_is_said_of_progress_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("waiting") as step:
        step("first")
        step("second", 3, 5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_is_one_line(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "feeds.npz", image=rng.random((20000, 1, 8, 8), np.float32))
    process = subprocess.Popen(
        [sys.executable, "-m", "graphopt", *(part.format(model=DIGITS) for part in LONG[name].split())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"GRAPHOPT_CACHE": str(tmp_path / "cache")},
        start_new_session=True,
    )
    time.sleep(1.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    stdout, stderr = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("this machine is done before it is interrupted")
    assert (process.returncode, stdout, stderr) == (130, "", "error: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} <= {"feeds.npz", "cache"}


def test_ctrl_c_is_one_line_while_modules_are_imported() -> None:
    code = """
import os, signal, sys
from graphopt.cli.start import main
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_an_interrupt_that_became_another_error_is_raised_at_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_interrupts", [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt), progress("tuning") as step:
        step("next")


def piped(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "graphopt", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    return done.stdout + done.stderr
