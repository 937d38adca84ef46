"""`graphopt view`, and the pages of `optimize`, `compile` and `diff`."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphopt.cli.main import build_app
from graphopt.ir.save import save
from tests.networks import network
from tests.report.stories import embedded

PARTLY = """
g (float[1,3] x) => (float[1,3] y, int64[2,K] z)
<float[3,3] w>
{ m = MatMul (x, w)  z = NonZero (m)  y = Relu (m) }
"""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_cache: Path) -> None:
    monkeypatch.chdir(tmp_path)
    save(network(), tmp_path / "model.onnx")
    save(network(PARTLY), tmp_path / "partly.onnx")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    return urls


def run(*arguments: object) -> Result:
    command = str(arguments[0])
    return CliRunner().invoke(build_app([command]), list(map(str, arguments)))


def done(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def test_view_opens_the_browser(opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = done("view", "model.onnx", "--input-shape", "x:1,3,8,8")
    (url,) = opened
    assert url.startswith("file://")
    page = Path(result.stdout.removesuffix(": written\n"))
    assert url == page.as_uri()
    assert embedded(page)["title"] == "model.onnx"
    assert all("macs" in node["metrics"] for node in embedded(page)["nodes"])


def test_view_writes_without_a_browser(opened: list[str]) -> None:
    done("view", "model.onnx", "-o", "m.html", "--no-browser")
    done("view", "model.onnx", "-o", "m.dot")
    assert not opened
    assert Path("m.dot").read_text(encoding="utf-8").startswith('digraph "model.onnx" {')


def test_view_says_where_there_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert "no browser was found" in done("view", "model.onnx", "-o", "m.html").stderr


def test_view_refuses_early_what_cannot_be_written() -> None:
    assert "name a file .html" in run("view", "model.onnx", "-o", "m.pdf").stderr
    assert "there is no directory" in run("view", "model.onnx", "-o", "nowhere/m.html").stderr
    Path("folder.html").mkdir()
    assert "is a directory" in run("view", "model.onnx", "-o", "folder.html").stderr
    assert run("view", "missing.onnx", "-o", "m.html").exit_code == 3
    assert not Path("m.html").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_view_refuses_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "not writable" in run("view", "model.onnx", "-o", "locked/m.html").stderr


def test_optimize_writes_its_history() -> None:
    result = done("optimize", "model.onnx", "-o", "small.onnx", "--report", "history.html")
    assert "history.html: written" in result.stdout
    story = embedded(Path("history.html"))
    assert story["kind"] == "history"
    assert [stage["size"]["nodes"] for stage in story["stages"]][:: len(story["stages"]) - 1] == [3, 2]
    done("optimize", "model.onnx", "-o", "plain.onnx")
    assert Path("small.onnx").read_bytes() == Path("plain.onnx").read_bytes()


@pytest.mark.parametrize("command", ["optimize", "compile"])
def test_a_report_is_a_page(command: str) -> None:
    result = run(command, "model.onnx", "-o", "out", "--report", "report.txt")
    assert result.exit_code == 2
    assert "name a file .html" in " ".join(result.stderr.replace("│", " ").split())
    assert run(command, "model.onnx", "-o", "out", "--report", "nowhere/report.html").exit_code == 8
    assert not Path("out").exists()


def test_compile_tells_kernels_and_times() -> None:
    for _ in range(2):  # the second finds the program in the cache
        done("compile", "model.onnx", "-o", "out.gopt", "--input-shape", "x:1,3,8,8", "--report", "c.html")
        story = embedded(Path("c.html"))
        last = story["stages"][-1]
        assert last["name"] == "kernels"
        nodes = [story["nodes"][place] for place in last["nodes"]]
        assert [(node["op"], node["device"]) for node in nodes] == [("ConvRelu", "tvm")]
        assert nodes[0]["kernel"].startswith("conv")
        assert nodes[0]["metrics"]["time_us"] > 0
        assert 0 < nodes[0]["metrics"]["share"] <= 1
        assert len(nodes[0]["parents"]) == 2


def test_compile_tells_who_runs_what_and_why() -> None:
    done("compile", "partly.onnx", "-o", "out.gopt", "--report", "c.html")
    story = embedded(Path("c.html"))
    last = story["stages"][-1]
    devices = {story["nodes"][place]["op"]: story["nodes"][place]["device"] for place in last["nodes"]}
    assert devices["NonZero"] == "onnxruntime"
    assert devices["MatMul"] == "tvm"
    (remark,) = last["remarks"]
    assert remark["message"].startswith("runs in onnxruntime: ")
    assert story["nodes"][remark["node"]]["op"] == "NonZero"


@pytest.mark.parametrize("target", ["onnxruntime", "c"])
def test_compile_tells_of_targets_without_times(target: str) -> None:
    arguments = "--target", target, "--input-shape", "x:1,3,8,8", "--report", "c.html"
    done("compile", "model.onnx", "-o", "out", *arguments)
    story = embedded(Path("c.html"))
    nodes = [story["nodes"][place] for place in story["stages"][-1]["nodes"]]
    assert story["stages"][-1]["name"] == "kernels"
    assert {node["device"] for node in nodes} == {"onnxruntime" if target == "onnxruntime" else "tvm"}
    assert all("time_us" not in node["metrics"] for node in nodes)


def test_compile_does_not_tell_of_what_it_quantizes() -> None:
    result = run("compile", "model.onnx", "-o", "out", "--calibration", "x.npz", "--report", "c.html")
    assert result.exit_code == 2


def test_diff_shows_both() -> None:
    done("optimize", "model.onnx", "-o", "small.onnx")
    done("diff", "model.onnx", "small.onnx", "--html", "d.html")
    story = embedded(Path("d.html"))
    assert (story["kind"], story["title"]) == ("diff", "model.onnx → small.onnx")
    assert run("diff", "model.onnx", "small.onnx", "--html", "d.txt").exit_code == 2
