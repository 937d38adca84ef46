"""Runs the blocks of a document as a reader would: in order, in one folder, in one shell and one Python."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.documents.markdown import CHECKOUT, Block, Document

SECONDS = 300.0
"""More than any block takes; those that measure for minutes are skipped."""

_SHELL = r"""
set -euo pipefail
[ ! -e "$DOCUMENT_STATE" ] || . "$DOCUMENT_STATE"
trap '{ export -p; printf "cd %q\n" "$PWD"; } > "$DOCUMENT_STATE"' EXIT
set -a
"""
"""Before each block: the folder and the variables that the one before it left."""


class Reader:
    """Someone who follows a document to the letter."""

    def __init__(self, document: Document, folder: Path, cache: Path, patch: pytest.MonkeyPatch) -> None:
        self.document = document
        self.missing: set[str] = set()
        """Programs that blocks need and this machine has not."""
        self._folder = folder / "work"
        self._folder.mkdir()
        (self._folder / "models").symlink_to(CHECKOUT / "models")
        self._state = folder / "state"
        self._log = folder / "log"
        self._environment = os.environ | {
            "CHECKOUT": str(CHECKOUT),
            "COLUMNS": "120",
            "DOCUMENT_STATE": str(self._state),
            "GRAPHOPT_CACHE": str(cache),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONSAFEPATH": "1",  # the checkout's packages are not those that may lie in the folder
        }
        self._module = ModuleType(f"document_{re.sub(r'[^A-Za-z]', '_', str(document))}")
        patch.setitem(sys.modules, self._module.__name__, self._module)  # dataclasses look where they are from
        patch.setenv("GRAPHOPT_CACHE", str(cache))
        patch.chdir(self._folder)

    def follow(self, block: Block) -> None:
        """Run a block; raises AssertionError where it fails, or prints what the document does not show."""
        if "skip" in block.directives or self._lacks(block):
            return
        if name := block.directives.get("file"):
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return
        steps = list(commands(block.text)) if block.language == "console" else [(block.text, block.shown)]
        for number, (text, shown) in enumerate(steps, 1):
            fails = "fails" in block.directives and number == len(steps)
            printed = self._python(text, block) if block.language == "python" else self._sh(text, block, fails=fails)
            if shown and not is_shown(shown, printed):
                pytest.fail(
                    f"{self._place(block)}: {text}\nprints\n\n{printed}\nand the document shows\n\n{shown}",
                    pytrace=False,
                )

    def _lacks(self, block: Block) -> bool:
        missing = [program for program in block.directives.get("needs", "").split() if shutil.which(program) is None]
        self.missing.update(missing)
        return bool(missing)

    def _python(self, text: str, block: Block) -> str:
        printed = io.StringIO()
        code = compile("\n" * block.line + text, str(self.document.path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, self._module.__dict__)  # noqa: S102  # what the document says is what is tested
        return printed.getvalue()

    def _sh(self, text: str, block: Block, *, fails: bool) -> str:
        with self._log.open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", _SHELL + text],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status: int | str = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                status = f"no status after {SECONDS:.0f} seconds"
            finally:
                with contextlib.suppress(ProcessLookupError):  # what a block leaves running ends with it
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        printed = self._log.read_text(encoding="utf-8", errors="replace")
        if (status != 0) != fails:
            pytest.fail(f"{self._place(block)}: {text}\nended with {status}:\n\n{printed}", pytrace=False)
        return printed

    def _place(self, block: Block) -> str:
        return f"{self.document}:{block.line}"


def commands(text: str) -> Iterator[tuple[str, str | None]]:
    """Return each command of a `console` block and what it shows: `$` begins one, and `>` goes on with it."""
    command: list[str] = []
    shown: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), "\n".join(shown) or None
            command, shown = [line[2:]], []
        elif line.startswith("> ") and not shown:
            command.append(line[2:])
        else:
            shown.append(line)
    yield "\n".join(command), "\n".join(shown) or None


def is_shown(shown: str, printed: str) -> bool:
    """Whether a document shows what was printed; how wide spaces and rules are, and empty lines, do not count."""
    patterns = (
        "(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + "\n" for line in _lines(shown)
    )
    return re.fullmatch("".join(patterns), "".join(f"{line}\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    return [re.sub("─+", "─", " ".join(line.split())) for line in text.splitlines() if line.strip()]
