"""A model at a batch size, ready for workers: the files that they load, and the inputs they run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.ort.reference import random_feeds
from graphopt.compiler.compile import compile  # noqa: A004  # the name that the tool is known by
from graphopt.compiler.optimize import Shapes
from graphopt.compiler.specialize import DEFAULT_BATCH
from graphopt.errors import ModelError
from graphopt.ir.interface import check_interface
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.shapes import bind_shapes
from graphopt.runtime.module import CompiledModule
from graphopt.targets import Target
from graphopt.tensors import Feeds


@dataclass(frozen=True)
class Recipe:
    """What is asked of every model alike; see `graphopt.compiler.compile.compile`."""

    target: Target
    pipeline: str
    shapes: Shapes | None = None
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """A model with the shapes of its inputs fixed.

    Attributes:
        batch: the leading dimension of the first input that has one; None where there is none.
        forms: files with the same model in the form that an opponent takes best, by the opponent's name.

    """

    source: Path
    model: ir.Model
    feeds: Feeds
    batch: int | None
    recipe: Recipe
    forms: Mapping[str, Path] = field(default_factory=dict)

    def write_model(self, folder: Path, opponent: str) -> Path:
        """Write the model as an opponent takes it, but for its shapes; return the file."""
        path = folder / f"{opponent}.onnx"
        model = self.model
        if opponent in self.forms:
            model = load(self.forms[opponent], shapes=self.recipe.shapes)
            bind_shapes(model, {name: array.shape for name, array in self.feeds.items()})
        save(model, path)
        return path

    def compile(self, on_stage: Callable[[str], None] | None = None) -> CompiledModule:
        """Compile the model for its shapes; raises as `graphopt.compile` does."""
        shapes = {name: array.shape for name, array in self.feeds.items()} if _has_shapes(self.model) else None
        recipe = self.recipe
        return compile(self.source, recipe.target, shapes=shapes, pipeline=recipe.pipeline, on_stage=on_stage)


def open_case(source: Path, batch: int | None, recipe: Recipe) -> Case:
    """Load a model and fix its shapes: of free leading dimensions to the batch, 1 where none is said.

    Raises:
        ModelError: as `load` does; what goes in or out is no tensor; the model fixes another batch.

    """
    model = load(source, shapes=recipe.shapes)
    check_interface(model)
    free = {
        str(value.name): [batch or DEFAULT_BATCH, *[None] * (len(value.shape) - 1)]
        for value in model.graph.inputs
        if value.shape and not isinstance(value.shape[0], int)
    }
    fixed = [value.shape[0] for value in model.graph.inputs if value.shape]
    if batch is not None and not free and fixed and fixed[0] != batch:
        raise ModelError(
            f"{str(source)!r} has the fixed batch {fixed[0]}; free it by"
            f" `graphopt reshape {source} -o OUT.onnx --batch N` to run batch {batch}"
        )
    bind_shapes(model, free)
    feeds = random_feeds(model, seed=recipe.seed)
    if _has_shapes(model):
        bind_shapes(model, {name: array.shape for name, array in feeds.items()})
    leading = next((array.shape[0] for array in feeds.values() if array.ndim), None)
    return Case(source, model, feeds, leading, recipe)


def _has_shapes(model: ir.Model) -> bool:
    return all(value.shape is not None for value in model.graph.inputs)
