"""Decisions apart from the model that they are for, as text and in a file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from graphopt.errors import CalibrationError
from graphopt.files import atomic_path


class StoredPlan(ABC):
    """A plan whose text says first what it is.

    Attributes:
        KIND: of what it is the plan, for a person.
        KEY: under which the text has the version of its form.
        FORMAT: that version; another one is refused.

    """

    KIND: ClassVar[str]
    KEY: ClassVar[str]
    FORMAT: ClassVar[int] = 1

    @abstractmethod
    def to_data(self) -> dict[str, Any]:
        """Return the decisions as JSON has them."""

    @classmethod
    @abstractmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read them back; raises ValueError, KeyError, TypeError or AttributeError where they are others."""

    def to_json(self) -> str:
        """Return the text form."""
        return json.dumps({self.KEY: self.FORMAT, **self.to_data()}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text form back.

        Raises:
            CalibrationError: it is another text.

        """
        try:
            data = json.loads(text)
            if data[cls.KEY] != cls.FORMAT:
                raise CalibrationError(f"the plan is of form {data[cls.KEY]}, not {cls.FORMAT}; make it anew")
            return cls.from_data(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(f"the text is no plan of a {cls.KIND} ({error}); make it anew") from error

    def save(self, path: Path) -> None:
        """Write the text form to a file, whole or not at all; raises OutputError."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote; raises CalibrationError naming it."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"cannot read the plan {str(path)!r}: {error}; name one that was saved") from error
        except CalibrationError as error:
            raise CalibrationError(f"{str(path)!r}: {error}") from error
