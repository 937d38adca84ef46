"""Programs as WebAssembly modules: their code, what their loader refuses, and a page that classifies an image."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tvm
from matplotlib.image import imsave
from tvm import tirx
from typer.testing import CliRunner

import graphopt
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.driver.web import write
from graphopt.backends.tvm.driver.web.link import IMPORTED, link, wasm_linker
from graphopt.backends.tvm.driver.web.loader import TEMPLATE
from graphopt.cli.main import build_app
from graphopt.errors import TargetError
from graphopt.targets import parse_target
from tests.freestanding import MACHINES
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
_LONGEST = 120
"""Seconds that a browser may take on a busy machine."""

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the network as a module."""
    if MACHINES["wasm32"].missing:
        pytest.skip(MACHINES["wasm32"].missing)
    path = tmp_path_factory.mktemp("web") / "digits"
    graphopt.compile(DIGITS, "wasm32", cache=False).save(path)
    return path


def node(script: str, folder: Path) -> str:
    """Run a script beside a loader that is imported as `loader`; return what it prints."""
    text = f'import * as loader from "./model.mjs";\n{script}'
    command = ["node", "--input-type=module", "--eval", text]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_module_computes_in_vectors_and_imports_nothing(folder: Path) -> None:
    script = """
        import { readFileSync } from "node:fs";
        const module = new WebAssembly.Module(readFileSync("model.wasm"));
        const names = (list) => list.map(({ name }) => name);
        const { imports, exports } = WebAssembly.Module;
        console.log(JSON.stringify([names(imports(module)), names(exports(module))]));
    """
    imports, exports = json.loads(node(script, folder))
    assert imports == []
    assert sorted(exports) == ["__heap_base", "memory", "model_run"]
    code = (folder / "model.wasm").read_bytes()
    multiply, add, load_splat = b"\xfd\xe6\x01", b"\xfd\xe4\x01", b"\xfd\x09"
    assert min(map(code.count, (multiply, add, load_splat))) > 20, "f32x4.mul, f32x4.add, v128.load32_splat"


def test_products_of_integers_are_summed_in_pairs(tmp_path: Path, folder: Path) -> None:
    model = network("""
        g (uint8[1,8,6,6] x) => (uint8[1,16,6,6] y)
        <float xs = {0.1}, uint8 xz = {0}, int8[16,8,1,1] w, float ws = {0.1}, int8 wz = {0},
         float ys = {1}, uint8 yz = {0}>
        { y = QLinearConv (x, xs, xz, w, ws, wz, ys, yz) }
    """)
    graphopt.compile(model, "wasm32", cache=False).save(tmp_path / "integers")
    assert b"\xfd\xba\x01" in (tmp_path / "integers" / "model.wasm").read_bytes(), "i32x4.dot_i16x8_s"


def test_the_module_loads_from_bytes_and_addresses_and_runs_again(folder: Path) -> None:
    script = """
        import { readFileSync } from "node:fs";
        import { pathToFileURL } from "node:url";
        const [code, weights] = ["model.wasm", "weights.bin"].map((name) => readFileSync(name));
        const image = new Float32Array(64).map((_, index) => index % 17);
        const first = await loader.load();
        const once = first.run({ image });
        first.run({ image: new Float32Array(64) });
        const others = [[code, weights], ["model.wasm"], [pathToFileURL("model.wasm"), weights.buffer.slice(
            weights.byteOffset, weights.byteOffset + weights.byteLength)]];
        for (const sources of others) {
            const { logits } = (await loader.load(...sources)).run({ image });
            console.log(JSON.stringify([...once.logits]) === JSON.stringify([...logits]));
        }
        console.log(JSON.stringify([first.inputs, first.outputs]));
    """
    *same, tensors = node(script, folder).splitlines()
    assert same == ["true"] * 3
    assert json.loads(tensors) == [
        [{"name": "image", "dtype": "float32", "shape": [1, 1, 8, 8], "length": 64}],
        [{"name": "logits", "dtype": "float32", "shape": [1, 10], "length": 10}],
    ]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("run(new Float32Array(64))", 'TypeError: run takes an object of typed arrays by input name; there is "image"'),
        ("run({ picture: 1 })", 'TypeError: there is no input "picture"; there is "image"'),
        ("run({})", 'TypeError: input "image" is missing'),
        ("run({ image: [1] })", 'TypeError: input "image" is float32 and must be a Float32Array, not Array'),
        ("run({ image: new Float64Array(64) })", "must be a Float32Array, not Float64Array"),
        (
            "run({ image: new Float32Array(63) })",
            'RangeError: input "image" must have 64 elements, [1, 1, 8, 8], not 63',
        ),
    ],
)
def test_a_wrong_feed_is_one_sentence(call: str, sentence: str, folder: Path) -> None:
    script = (
        f"const model = await loader.load(); try {{ model.{call}; }} catch (error) {{ console.log(String(error)); }}"
    )
    assert sentence in node(script, folder)


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (
            "undefined, new Uint8Array(3)",
            r"RangeError: weights.bin must have \d+ bytes, not 3; take it from the folder",
        ),
        ("new Uint8Array(3)", "Error: model.wasm cannot be loaded: it is damaged, or this engine has no"),
        ("5", "TypeError: load takes an address, a URL, an ArrayBuffer or a typed array"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(sources: str, sentence: str, folder: Path) -> None:
    script = f"try {{ await loader.load({sources}); }} catch (error) {{ console.log(String(error)); }}"
    assert re.search(sentence, node(script, folder))


def test_the_loader_has_what_the_linker_allows() -> None:
    table = TEMPLATE.read_text().partition("const FUNCTIONS = {\n")[2].partition("};")[0]
    assert tuple(re.findall(r"^  (\w+)", table, re.MULTILINE)) == IMPORTED


def test_functions_of_the_c_library_are_those_of_javascript(folder: Path, tmp_path: Path) -> None:
    script = (
        TEMPLATE.read_text()
        + """
        const numbers = [-7, -2.6, -2.5, -2.4, -0.5, -1e-9, 0, 0.3, 1, 2.499, 3, 5.9, 6.1];
        console.log(JSON.stringify([numbers, numbers.map(erf), [-2.5, -0.5, 0.5, 1.4, 2.5].map(FUNCTIONS.round)]));
    """
    )
    (tmp_path / "functions.mjs").write_text(script)
    done = subprocess.run(["node", "functions.mjs"], cwd=tmp_path, check=True, capture_output=True, text=True)
    numbers, found, rounded = json.loads(done.stdout)
    np.testing.assert_allclose(found, [math.erf(number) for number in numbers], rtol=1e-14)
    assert rounded == [-3, -1, 1, 1, 3]


def test_a_function_that_javascript_has_not_is_named(folder: Path, tmp_path: Path) -> None:
    number = tirx.Var("number", "float32")
    body = tirx.Evaluate(tirx.call_extern("float32", "lgammaf", number))
    machine = tvm_target(parse_target("wasm32"))
    function = tirx.PrimFunc([number], body).with_attr("global_symbol", "model_run").with_attr("target", machine)
    code = tvm.get_global_func("target.build.llvm")(tvm.IRModule({"model_run": function}), machine)
    with pytest.raises(ValueError, match="WebAssembly has no lgammaf"):
        link(wasm_linker(), [code], tmp_path / "model.wasm")


def test_too_much_memory_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MOST_BYTES", 1 << 16)
    with pytest.raises(TargetError, match="cannot run the model: .*it needs 1 MiB of memory, and WebAssembly has 0"):
        graphopt.compile(DIGITS, "wasm32", cache=False)


def test_a_machine_without_the_linker_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"needs LLVM's linker.*no wasm-ld on the PATH; install it .Debian: apt"):
        graphopt.compile(DIGITS, "wasm32", cache=False)


def test_a_numbered_linker_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    linker = shutil.which("wasm-ld")
    assert linker is not None
    for number in (9, 14):
        (tmp_path / f"wasm-ld-{number}").symlink_to(linker)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wasm_linker() == str(tmp_path / "wasm-ld-14")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "g (float[2,8] x) => (float[2,8] y) { y = LpNormalization (x) }",
            r"wasm32 cannot run LpNormalization \(-> y\)",
        ),
        ("g (float[N,C] x) => (float[N,C] y) { y = Exp (x) }", "wasm32 needs fixed shapes: dimension 1 of input 'x'"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        graphopt.compile(network(text), "wasm32", cache=False)


def test_the_command_writes_what_a_server_takes(folder: Path, tmp_path: Path) -> None:
    runner, place = CliRunner(), tmp_path / "web"
    done = runner.invoke(build_app(), ["compile", str(DIGITS), "-o", str(place), "--target", "wasm32", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["arenas"][0] > 0
    files = {"manifest.json", "model.mjs", "model.wasm", "optimized.onnx", "weights.bin"}
    assert {path.name for path in place.iterdir()} == files
    refused = runner.invoke(build_app(), ["run", str(place)])
    assert refused.exit_code == TargetError.exit_code
    assert "save it, then import its model.mjs in JavaScript" in refused.stderr
    described = runner.invoke(build_app(), ["inspect", str(place)])
    assert "another machine" in described.stdout
    refused = runner.invoke(build_app(), ["compile", str(DIGITS), "-o", f"{place}.gopt", "--target", "wasm32"])
    assert refused.exit_code == TargetError.exit_code
    assert "save it under a name without .gopt" in refused.stderr


PAGE = """
<!doctype html>
<title>Digits</title>
<img id="digit" src="digit.png">
<output id="label"></output>
<script type="module">
  import { load } from "./model.mjs";

  const said = document.getElementById("label");
  try {
    const [model, image] = [await load(), document.getElementById("digit")];
    await image.decode();
    const canvas = new OffscreenCanvas(8, 8).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const { data } = canvas.getImageData(0, 0, 8, 8);
    const { logits } = model.run({ image: Float32Array.from({ length: 64 }, (_, index) => data[4 * index] / 15) });
    said.textContent = `label ${logits.indexOf(Math.max(...logits))}`;
  } catch (error) {
    said.textContent = String(error);
  }
</script>
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a directory; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_in_a_browser_classifies_an_image(folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium, which .ci/run installs")
    data = np.load("models/digits/digits_test.npz")
    image = data["images"][0, 0].astype(np.float32)
    expected = graphopt.compile(DIGITS)(image[None, None])["logits"].argmax()
    for name in ("model.mjs", "model.wasm", "weights.bin"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "index.html").write_text(PAGE)
    imsave(tmp_path / "digit.png", image, cmap="gray", vmin=0, vmax=255 / 15)
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]
    with served(tmp_path) as address:
        command = [browser, *flags, *offline, "--virtual-time-budget=10000", "--dump-dom", f"{address}/index.html"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LONGEST)
    assert f'<output id="label">label {expected}</output>' in done.stdout
