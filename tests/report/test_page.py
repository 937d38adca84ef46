"""The report page in a real browser, and its drawings without one."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from graphopt.report import assets
from tests.report.conftest import Open
from tests.report.driving import at_stage, until
from tests.report.sample_story import chain, story


def drawn(page: Any) -> list[str]:
    """Return the keys of the nodes that stand in the drawing."""
    held = "[...graphopt.view.scene.actors].filter(([, actor]) => actor.to).map(([key]) => key)"
    return [key for key in page.evaluate(held) if key.startswith("n")]


def test_the_slider_shows_each_stage(opened: Open) -> None:
    told = story()
    page = opened(told)
    for index, stage in [*enumerate(told["stages"]), (0, told["stages"][0])]:
        at_stage(page, index)
        assert page.get_by_test_id("node-count").inner_text() == str(len(stage["nodes"]))
        assert set(drawn(page)) == {f"n{told['nodes'][at]['id']}" for at in stage["nodes"]}
    page.keyboard.press("]")
    page.wait_for_selector('html[data-stage="1"]')
    assert "after fold-batch-norm" in page.get_by_test_id("status").inner_text()
    page.keyboard.press("[")
    page.wait_for_selector('html[data-stage="0"]')


def test_what_changed_is_marked(opened: Open) -> None:
    page = opened(story())
    at_stage(page, 1)
    marks = page.evaluate(
        "(s => [...s.actors.values()].map(({item}) => [item.key, s.drawing.changeOf(item)]))(graphopt.view.scene)"
    )
    page.get_by_label("mark changes").uncheck()
    assert page.evaluate("(d => [...d.items.values()].every(item => !d.changeOf(item)))(graphopt.view.scene.drawing)")
    assert dict(marks) | {"n4": "new", "n2": "removed", "n3": None} == dict(marks)


def test_search_goes_to_a_node_and_shows_where_it_comes_from(opened: Open) -> None:
    page = opened(story())
    at_stage(page, 1)
    page.keyboard.press("/")
    page.keyboard.type("block1 conv 1x8x16x16")
    assert page.get_by_test_id("found").locator("[role=option]").count() > 0
    page.keyboard.press("Enter")
    details = page.get_by_test_id("details")
    details.get_by_text("ConvThenBatchNorm").wait_for()
    text = details.inner_text()
    for said in ("fold-batch-norm", "block1/conv10", "block1/batchnormalization11", "kernel_shape", "float32 8×8×3×3"):
        assert said in text
    assert details.locator("svg.histogram").count() == 1
    details.get_by_text("block1/conv10").click()  # what it was made from is in the stage before
    page.wait_for_selector('html[data-stage="0"]')
    assert page.evaluate("graphopt.store.state.selected") == "n10"
    assert "until fold-batch-norm takes it away" in details.inner_text()


def test_a_click_selects_and_remarks_say_why_not(opened: Open) -> None:
    page = opened(story())
    at_stage(page, 1)
    page.locator('[data-key="n3"]').click()
    details = page.get_by_test_id("details")
    assert "did not fire its first input has a second use" in details.inner_text().replace("\n", " ")
    page.keyboard.press("Escape")
    assert page.evaluate("graphopt.store.state.selected") is None
    page.get_by_role("tab", name=re.compile("Remarks")).click()
    page.get_by_role("cell", name="its first input").click()
    assert page.evaluate("graphopt.store.state.selected") == "n3"


def test_arrows_walk_along_edges(opened: Open) -> None:
    page = opened(story())
    page.locator('[data-key="n0"]').click()
    walked = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        walked.append(page.evaluate("graphopt.store.state.selected"))
    assert walked == ["n1", "n2", "n3", "n2"]


def test_boxes_close_and_open(opened: Open) -> None:
    page = opened(story())
    everything = len(drawn(page))
    page.get_by_test_id("boxes").click()
    until(page, "document.documentElement.dataset.items === '3'")
    assert drawn(page) == []
    assert page.get_by_test_id("node-count").inner_text() == str(everything)
    page.locator('[data-key="b:stages"]').dblclick()
    until(page, "graphopt.view.scene.actors.has('b:stages/block1')")
    page.get_by_test_id("boxes").click()
    until(page, "[...graphopt.view.scene.actors.keys()].includes('n3')")
    assert len(drawn(page)) == everything


def test_colours_say_what_the_story_knows(opened: Open) -> None:
    page = opened(story())
    offered = page.get_by_test_id("colour").locator("option").evaluate_all("all => all.map(one => one.value)")
    assert offered == ["operator", "macs", "bytes", "parameters", "sparsity"]
    page.get_by_test_id("colour").select_option("macs")
    assert "multiply-adds" in page.get_by_test_id("legend").inner_text()
    fills = page.evaluate(
        "['n0', 'n10', 'n1'].map(key => graphopt.view.scene.drawing.fillOf(graphopt.view.scene.actors.get(key).item))"
    )
    assert len(set(fills)) == 3
    page.get_by_test_id("critical").click()
    assert "Critical path" in page.get_by_test_id("legend").inner_text()


def test_two_stages_are_compared(opened: Open) -> None:
    page = opened(story())
    at_stage(page, 2)
    page.get_by_test_id("view").select_option("overlay")
    until(page, "['n0', 'n5'].every(key => graphopt.view.scene.actors.has(key))")
    assert "new" in page.get_by_test_id("status").inner_text()
    page.get_by_test_id("view").select_option("side")
    until(page, "graphopt.old.scene.actors.has('n0') && !graphopt.view.scene.actors.has('n0')")
    assert page.get_by_test_id("old").is_visible()


def test_the_wheel_pans_and_zooms(opened: Open) -> None:
    page = opened(story(6))
    camera = "(({x, y, scale}) => [x, y, scale])(graphopt.view.camera)"
    start = page.evaluate(camera)
    page.mouse.move(300, 400)
    page.mouse.wheel(0, 200)
    until(page, f"{camera}[1] > {start[1]} + 100")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    until(page, f"{camera}[2] > {start[2]}")
    page.keyboard.press("0")
    assert page.evaluate(camera) == pytest.approx(start)


def test_moving_keeps_what_both_stages_have(browser: Any, opened: Open) -> None:
    page = opened(story())
    page.emulate_media(reduced_motion="no-preference")
    before = page.evaluate("graphopt.view.scene.actors.get('n13').now")
    at_stage(page, 1)
    moving = page.evaluate("(({actors, progress}) => ({actor: actors.get('n13'), progress}))(graphopt.view.scene)")
    if moving["progress"] < 1:
        assert moving["actor"]["from"]["width"] == before["width"]
    until(page, "graphopt.view.scene.progress === 1 && !graphopt.view.scene.actors.has('n10')")
    ends = page.evaluate("(({now, to}) => [now.x, now.y, to.x, to.y])(graphopt.view.scene.actors.get('n13'))")
    assert ends[:2] == pytest.approx(ends[2:])


def test_dark_mode(opened: Open) -> None:
    page = opened(story(), scheme="dark")
    ground = "getComputedStyle(document.querySelector('.canvas')).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_test_id("theme").click()
    assert [dark, page.evaluate(ground)] == ["rgb(18, 23, 29)", "rgb(255, 255, 255)"]


def test_a_phone_shows_all_of_it(opened: Open) -> None:
    page = opened(story(), width=390, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for test in ("slider", "search", "details", "graph", "status"):
        box = page.get_by_test_id(test).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390.5


def test_drawings_are_saved(opened: Open) -> None:
    page = opened(story())
    page.get_by_text("Save", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_test_id("save-svg").click()
    root = ET.parse(saved.value.path()).getroot()  # noqa: S314, our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    with page.expect_download() as saved:
        page.get_by_test_id("save-png").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_paper_has_the_whole_graph_in_strips(opened: Open) -> None:
    page = opened(story(12), scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    strips = page.locator("#paper .strips svg")
    assert strips.count() > 1
    boxes = strips.evaluate_all("all => all.map(one => one.viewBox.baseVal.height)")
    assert sum(boxes) == pytest.approx(page.evaluate("graphopt.view.placed.layout.height"))
    assert not page.get_by_test_id("status").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert strips.count() == 0


def test_controls_have_names(opened: Open) -> None:
    page = opened(story())
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [role=tab], canvas, svg[role]")].filter(one =>
            !(one.ariaLabel || one.labels?.length || one.textContent.trim())).map(one => one.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("scoped", [0, 100])
def test_a_large_graph_is_collapsed_and_says_so(opened: Open, scoped: int) -> None:
    page = opened(chain(4000, scoped=scoped))
    assert page.get_by_test_id("node-count").inner_text() == "4000"
    said = page.get_by_test_id("collapsed").inner_text()
    assert ("by scope" if scoped else "by runs of nodes") in said
    page.get_by_test_id("search").fill("relu3210")
    page.keyboard.press("Enter")
    until(page, "graphopt.view.scene.actors.has('n3210')")


class TestWithoutABrowser:
    def test_modules_are_complete_and_named_apart(self) -> None:
        text = assets.script("main")
        assert "\nimport {" not in text
        assert "\nexport " not in text
        assert "</script" not in text
        names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", text, re.MULTILINE)
        assert sorted(names) == sorted(set(names))
        unused = {path.stem for path in assets.PAGE.glob("*.js")} - {
            path.stem for path in assets.PAGE.glob("*.js") if path.read_text(encoding="utf-8").split("\n", 1)[0] in text
        }
        assert unused == set()

    def test_a_title_is_text(self) -> None:
        assert "<b>&.onnx" not in assets.document("<b>&.onnx", b"")

    def test_the_layouter_is_the_one_that_its_note_names(self) -> None:
        note = (assets.PAGE / "vendor" / "README.md").read_text(encoding="utf-8")
        found = hashlib.sha256(gzip.decompress(assets.ELK.read_bytes())).hexdigest()
        assert found in note
        assert "Eclipse Public License - v 2.0" in (assets.PAGE / "vendor" / "elk-LICENSE.md").read_text("utf-8")

    def test_every_colour_can_be_read(self) -> None:
        context = _v8()
        kinds = context.eval("KINDS.map(([, colour]) => contrast(colour, '#ffffff'))")
        heats = context.eval("[...Array(21).keys()].map(at => heat(at / 20)).map(fill => contrast(fill, inkOn(fill)))")
        quiet = context.eval(
            "Object.values(PALETTES).flatMap(p => [p.muted, p.ink].map(ink => contrast(ink, p.paper)))"
        )
        assert min([*kinds, *heats, *quiet]) >= 4.5

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_nothing_lies_on_anything_else(self, index: int) -> None:
        drawing = _laid_out(story(4), index)
        cards = [rect for rect in drawing["rects"] if not rect["open"]]
        labels = drawing["labels"]
        assert labels
        assert not [pair for pair in _pairs([*cards, *labels]) if _overlap(*pair)]
        for route in drawing["routes"]:
            for one, other in zip(route["points"], route["points"][1:], strict=False):
                left, top = min(one["x"], other["x"]), min(one["y"], other["y"])
                line = {"x": left, "y": top, "width": abs(one["x"] - other["x"]), "height": abs(one["y"] - other["y"])}
                hit = [card["key"] for card in cards if _overlap(card, line)]
                assert set(hit) <= {route["from"], route["to"]}
                assert not [label for label in labels if _overlap(label, line)]

    def test_a_picture_is_made_of_a_stage(self) -> None:
        pytest.importorskip("py_mini_racer", reason="pictures are drawn in V8")
        pytest.importorskip("resvg_py", reason="pixels are drawn by resvg")
        from graphopt.report import picture

        told = story()
        text = picture.svg(told, 1)
        root = ET.fromstring(text)  # noqa: S314, our own text
        words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert words.count("Conv") == 2
        assert "3×3, 8→8, s2" in words
        assert picture.svg(told) != text
        image = picture.png(text, 200)
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        assert int.from_bytes(image[16:20], "big") == 200

    def test_names_that_xml_cannot_hold_are_drawn(self) -> None:
        pytest.importorskip("py_mini_racer", reason="pictures are drawn in V8")
        pytest.importorskip("resvg_py", reason="pixels are drawn by resvg")
        from graphopt.report import picture

        told = story()
        for node in told["nodes"]:
            node["op"] = f"{node['op']}\x01\ud800<&"
        text = picture.svg(told)
        ET.fromstring(text)  # noqa: S314, our own text
        assert "\ufffd\ufffd&lt;&amp;" in text
        assert picture.png(text, 200).startswith(b"\x89PNG")


def _v8() -> Any:
    racer = pytest.importorskip("py_mini_racer", reason="the page's modules run in V8")
    context = racer.MiniRacer()
    context.eval(assets.script("drawing"))
    return context


def _laid_out(told: dict[str, Any], index: int) -> dict[str, Any]:
    from graphopt.report import picture

    pytest.importorskip("py_mini_racer", reason="the page's modules run in V8")
    with picture.v8() as context:
        context.eval(f"var told = {json.dumps(told)}, stage = readStage(told, {index}), scopes = scopesOf(stage);")
        context.eval("var seen = visibleGraph(stage, scopes, new Set()), placed = fromElk(layout(toElk(seen)), seen);")
        context.eval("var isOpen = key => seen.items.get(key).kind === 'open';")
        answer = context.eval(
            """JSON.stringify({
                rects: [...placed.rects].map(([key, rect]) => ({...rect, key, open: isOpen(key)})),
                routes: placed.routes, labels: placeLabels(told, placed, isOpen)})"""
        )
    return dict(json.loads(str(answer)))


def _pairs(things: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for at, one in enumerate(things):
        for other in things[at + 1 :]:
            yield one, other


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    slack = 0.6
    across = one["x"] + slack < other["x"] + other["width"] and other["x"] + slack < one["x"] + one["width"]
    down = one["y"] + slack < other["y"] + other["height"] and other["y"] + slack < one["y"] + one["height"]
    return across and down
