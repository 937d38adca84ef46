"""Completion as shells ask for it, in the environment: of commands, options, passes, presets and targets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from graphopt.catalog import passes
from graphopt.cli.completion import pass_names
from graphopt.cli.main import _COMMANDS
from graphopt.compiler.recovery import Recovery
from graphopt.factorization.forms import FORMS
from graphopt.pipeline.presets import PRESETS
from graphopt.pruning.importance.criterion import Criterion
from graphopt.quantization.scheme import SCHEMES
from graphopt.targets import KINDS

PASSES = sorted(passes())


def asked(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "graphopt", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    assert done.stderr == ""
    return done.stdout


def bash(line: str) -> list[str]:
    position = str(len(line.split()) - (not line.endswith(" ")))
    return asked(COMP_WORDS=line, COMP_CWORD=position, _GRAPHOPT_COMPLETE="complete_bash").split()


def zsh(line: str) -> str:
    return asked(_TYPER_COMPLETE_ARGS=line, _GRAPHOPT_COMPLETE="complete_zsh")


BEGUN: Mapping[str, list[str]] = {
    "graphopt ": [*_COMMANDS],
    "graphopt qua": ["quantize"],
    "graphopt optimize --pi": ["--pipeline"],
    "graphopt -q optimize --pres": ["--preset"],
    "graphopt optimize --preset ": [*PRESETS],
    "graphopt optimize --pipeline fold-p": ["fold-pad"],
    "graphopt optimize --pipeline fold-pad,O": [f"fold-pad,{name}" for name in PRESETS],
    "graphopt optimize --pipeline fold-constants{max": [],
    "graphopt passes ": [*PRESETS, *PASSES],
    "graphopt why-not model.onnx node ": PASSES,
    "graphopt compile --target ": [*KINDS],
    "graphopt inspect --stage ": ["relax", "tir", "llvm", "asm"],
    "graphopt bench --against onnxruntime,o": ["onnxruntime,onnxruntime", "onnxruntime,openvino"],
    "graphopt prune --criterion ": ["auto", *Criterion],
    "graphopt prune --recover ": [*Recovery],
    "graphopt factorize --forms ": [*FORMS],
    "graphopt inspect mod": [],  # the shell completes files itself
}


def test_all_schemes_are_completed_the_usual_ones_first() -> None:
    words = bash("graphopt quantize --target ")
    assert words[:2] == ["x64", "tensorrt"]
    assert sorted(words) == sorted(SCHEMES)


@pytest.mark.parametrize("line", BEGUN)
def test_bash_completes(line: str) -> None:
    assert bash(line) == BEGUN[line]


def test_zsh_completes_with_what_words_mean() -> None:
    assert '"c":"C99 sources' in zsh("graphopt compile --target ")
    assert '"diff":"Say what differs' in zsh("graphopt di")
    assert zsh("graphopt inspect mod").strip() == "_files"


def test_the_names_of_passes_are_those_of_files() -> None:
    assert pass_names() == PASSES


def test_completion_is_quick() -> None:
    took = []
    for _ in range(3):
        start = time.perf_counter()
        bash("graphopt optimize --pipeline fold-pad,")
        took.append(time.perf_counter() - start)
    assert min(took) < 0.6, took  # 0.08 s where nothing else runs


def test_nothing_heavy_is_imported() -> None:
    asking = "import os; os.environ['COMP_WORDS'] = 'graphopt passes '; os.environ['COMP_CWORD'] = '2'"
    code = f"""{asking}; os.environ['_GRAPHOPT_COMPLETE'] = 'complete_bash'
import sys
from graphopt.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert not {{"onnx", "onnx_ir", "numpy", "passes", "tvm", "graphopt.cli.prune"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_is_shown(shell: str) -> None:
    shown = asked("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_graphopt_completion" in shown
    assert f"_GRAPHOPT_COMPLETE=complete_{shell}" in shown
