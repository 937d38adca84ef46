"""What can be shown: as a page for a browser, in a notebook, and as a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path

from graphopt.report.export import write
from graphopt.report.html import frame
from graphopt.report.story import Story


class Document(ABC):
    """Something with a story; a notebook shows its page."""

    @abstractmethod
    def story(self) -> Story:
        """Return the story as it is now."""

    def write(self, path: str | PathLike[str]) -> None:
        """Write the page into a file `.html`; or, as a picture, its last stage into one of `.dot`, `.svg` or `.png`.

        Raises:
            OutputError: the file cannot be written, or has another suffix.
            MeasurementError: what draws `.svg` and `.png` is not installed.

        """
        write(self.story(), Path(path))

    def _repr_html_(self) -> str:
        return frame(self.story())


class View(Document):
    """A story that is finished."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def story(self) -> Story:
        """Return the story."""
        return self._story
