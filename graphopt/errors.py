"""Every exception graphopt raises on purpose, ordered by who can mend it.

    GraphoptError
    ├── ModelError         the model file: broken, invalid, or beyond what ONNX allows
    ├── PipelineError      the text of a pipeline: unknown pass, bad option, wrong order
    ├── TargetError        the target: unknown, or not buildable on this machine
    ├── CalibrationError   the data given for calibration or comparison
    ├── RunError           the arrays given to a compiled module
    ├── OutputError        the place where a result was to be written
    ├── MeasurementError   the machine or the runtime that something was to be measured on
    ├── TrainingError      a recipe, a checkpoint, or a training that came to nothing
    ├── ServingError       what was to be served, or the place where a server was to listen
    └── PassFailureError   graphopt itself: a pass broke a model; carries the reproducer

Each message is one sentence that names the thing, its place and the mend.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class GraphoptError(Exception):
    """The root; catch it to catch everything that graphopt raises on purpose."""

    exit_code: ClassVar[int] = 1


class ModelError(GraphoptError):
    """The model cannot be used as it is."""

    exit_code = 3


class PipelineError(GraphoptError):
    """The text of a pipeline does not describe one."""

    exit_code = 4


class TargetError(GraphoptError):
    """The target is unknown, or this machine cannot build for it."""

    exit_code = 5


class CalibrationError(GraphoptError):
    """The data given to measure or compare with cannot be used."""

    exit_code = 6


class RunError(GraphoptError):
    """The arguments of a run do not fit the module's inputs."""

    exit_code = 7


class OutputError(GraphoptError):
    """A result could not be written where it was asked for."""

    exit_code = 8


class MeasurementError(GraphoptError):
    """Something cannot be measured as it was asked for."""

    exit_code = 9


class TrainingError(GraphoptError):
    """A training cannot be done, or gone on with, as it was asked for."""

    exit_code = 10


class ServingError(GraphoptError):
    """A program cannot be served as it was asked for."""

    exit_code = 11


class PassFailureError(GraphoptError):
    """A pass broke a model. This is our bug; `reproducer` holds what replays it."""

    exit_code = 70

    def __init__(self, message: str, *, pass_text: str, reproducer: Path | None = None) -> None:
        super().__init__(message)
        self.pass_text = pass_text
        self.reproducer = reproducer
