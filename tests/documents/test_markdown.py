"""What runs documents finds what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.outcomes import Failed

from tests.documents.commands import complaints
from tests.documents.markdown import Document, DocumentError
from tests.documents.runner import Reader, commands, is_shown

Make = Callable[[str], Document]


@pytest.fixture
def page(tmp_path: Path) -> Make:
    def make(text: str) -> Document:
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        return Document(path)

    return make


def follow(document: Document, tmp_path: Path, patch: pytest.MonkeyPatch) -> Reader:
    (tmp_path / "reader").mkdir()
    reader = Reader(document, tmp_path / "reader", tmp_path / "cache", patch)
    for block in document.blocks:
        reader.follow(block)
    return reader


@pytest.mark.parametrize(
    "text",
    [
        "<!-- run: skip -->\n```sh\nfalse\n```",  # without a reason
        "<!-- run: fails because -->\n```sh\nfalse\n```",
        "<!-- run: perhaps -->\n```sh\ntrue\n```",
        "<!-- run: skip it is slow -->\nA paragraph.",
        "```\ngraphopt passes\n```",
        "```bash\ngraphopt passes\n```",
        "    graphopt passes",
        "```text\nshown by nobody\n```",
        "```sh\ntrue\n```\nA paragraph.\n```text\nshown by nobody\n```",
    ],
)
def test_a_block_that_would_silently_not_run_is_an_error(page: Make, text: str) -> None:
    with pytest.raises(DocumentError):
        page(text).blocks  # noqa: B018


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nfalse\n```",
        "```sh\nfalse\ntrue\n```",
        "```sh\nfalse | cat\n```",
        "```sh\necho one\n```\n```text\ntwo\n```",
        "```python\nprint(1)\n```\n```text\n2\n```",
        "```console\n$ echo one\none\n$ echo two\none\n```",
        "<!-- run: fails -->\n```sh\ntrue\n```",
    ],
)
def test_what_does_not_do_what_it_shows_fails(
    page: Make, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Failed, match=r"page\.md:\d+"):
        follow(page(text), tmp_path, monkeypatch)


def test_blocks_share_a_folder_a_shell_and_a_python(
    page: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
<!-- run: prepare
mkdir folder
-->
<!-- run: file folder/name.txt -->
```text
somebody
```
```sh
cd folder && WHO=$(cat name.txt)
```
```console
$ echo "$WHO"
somebody
$ cat <<END
> $(basename "$PWD")
> END
folder
```
```python
import pathlib

name = pathlib.Path("folder/name.txt").read_text()
```
```python
print(name)
```
```text
some…
```
<!-- run: needs no-such-program -->
```sh
no-such-program
```
"""
    assert follow(page(text), tmp_path, monkeypatch).missing == {"no-such-program"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sh\ngraphopt optimise model.onnx\n```", "no command optimise"),
        ("```sh\ngraphopt run a.gopt && graphopt passes --no-such\n```", "no such option"),
        ("```sh\nnice graphopt optimize model.onnx \\\n    --no-such -o small.onnx\n```", "no such option"),
        ("```sh\nFOO=1 graphopt optimize model.onnx\n```", "needs output"),
        ("```sh\ngraphopt optimize model.onnx -o a.onnx --check sometimes\n```", "is not one of"),
        ("Or `graphopt optimize --no-such`.", "no such option"),
        ("The option `--no-such-option-anywhere`.", "no command has"),
        ("```sh\nmake nothing\n```", "no target nothing"),
        ("```sh\npython -m tests.benchmarks.nothing\n```", "no module"),
        ("```sh\npython -m tests.benchmarks.latency --no-such-option\n```", "has no option"),
    ],
)
def test_a_command_that_does_not_exist_is_found(page: Make, text: str, says: str) -> None:
    (complaint,) = complaints(page(text))
    assert says in complaint.lower()


def test_a_command_that_exists_is_not_complained_of(page: Make) -> None:
    text = """
Say `graphopt tune`, or `--trials`; `make test`.
```sh
graphopt compile model.onnx -o "a file.gopt" --target "cpu{cores=1}"   # a remark
torchrun --nproc-per-node 2 -m graphopt distill a.onnx b.onnx -o c.onnx --data d.npz
python -m tests.benchmarks.latency --int8 resnet18 > table.md
```
"""
    assert not list(complaints(page(text)))


def test_headings_have_the_anchors_that_github_gives_them(page: Make) -> None:
    document = page("# C++, and `--check`\n## Again\n## Again\n### What a *name* is: x/y\n")
    assert document.anchors == {"c-and---check", "again", "again-1", "what-a-name-is-xy"}


def test_commands_of_a_console_have_what_stands_below_them() -> None:
    assert list(commands("$ one\n$ two \\\n>   more\nshown\n\nshown too\n")) == [
        ("one", None),
        ("two \\\n  more", "shown\n\nshown too"),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a  b\n", "a b  \n\n", True),
        ("a\nb\n", "a\nc\nb\n", False),
        ("a\n…\nb\n", "a\nb\n", True),
        ("a\n…\nb\n", "a\nc\nd\nb\n", True),
        ("…\nb\n", "a\n", False),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\nc\n", False),
        ("a [1] (x)\n", "a [1] (x)\n", True),
        ("─── a\n", "─ a\n", True),
    ],
)
def test_what_is_shown_is_compared_loosely_where_it_says_so(shown: str, printed: str, same: bool) -> None:
    assert is_shown(shown, printed) is same
