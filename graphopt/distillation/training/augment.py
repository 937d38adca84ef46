"""Changes of images [N, C, H, W] in the range of values that the samples have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from graphopt.distillation.augmentation import Augmentation
from graphopt.errors import TrainingError


@dataclass(frozen=True, eq=False)
class Augmenter:
    """Changes each image of a batch by itself.

    Attributes:
        changes: what is done, in this order.
        least, greatest: of the samples' values, [1, C, 1, 1].

    """

    changes: Sequence[Augmentation]
    least: Tensor
    greatest: Tensor

    @staticmethod
    def of(changes: Sequence[Augmentation], images: Tensor) -> Augmenter:
        """Learn the range from samples; raises TrainingError where they are no images of floating-point numbers."""
        if changes and (images.ndim != 4 or not images.is_floating_point()):
            raise TrainingError(
                f"augment={changes[0].kind} changes images [N, C, H, W] of floating-point numbers, and the samples are "
                f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}; leave augment out"
            )
        if not changes:
            return Augmenter((), images, images)
        return Augmenter(tuple(changes), images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True))

    def __call__(self, images: Tensor, random: Generator) -> Tensor:
        """Return changed images."""
        for change in self.changes:
            images = self._apply(change, images, random)
        return images

    def _apply(self, change: Augmentation, x: Tensor, random: Generator) -> Tensor:
        height, width = x.shape[2:]
        match change.kind:
            case "flip":
                chosen = torch.rand((len(x), 1, 1, 1), generator=random) < change.amount
                return torch.where(chosen, x.flip(-1), x)
            case "crop":
                return self._shifted(x, round(change.amount), round(change.amount), random)
            case "translate":
                return self._shifted(x, round(change.amount * height), round(change.amount * width), random)
            case "rotate":
                return self._rotated(x, change.amount, random)
            case "colour":
                return self._coloured(x, change.amount, random)
            case _:
                return _mixed(x, change.amount, random)

    def _shifted(self, x: Tensor, down: int, right: int, random: Generator) -> Tensor:
        """Move each image by up to so many pixels in each direction."""
        count, _, height, width = x.shape
        padded = functional.pad(x - self.least, (right, right, down, down)) + self.least
        rows = torch.randint(0, 2 * down + 1, (count, 1), generator=random) + torch.arange(height)
        columns = torch.randint(0, 2 * right + 1, (count, 1), generator=random) + torch.arange(width)
        moved = padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2)

    def _rotated(self, x: Tensor, degrees: float, random: Generator) -> Tensor:
        angles = (torch.rand(len(x), generator=random) * 2 - 1) * math.radians(degrees)
        cosine, sine, aspect = angles.cos(), angles.sin(), x.shape[2] / x.shape[3]
        none = torch.zeros_like(cosine)
        turns = torch.stack([cosine, -sine * aspect, none, sine / aspect, cosine, none], 1).reshape(-1, 2, 3)
        grid = functional.affine_grid(turns.to(x.dtype), list(x.shape), align_corners=False)
        return functional.grid_sample(x - self.least, grid, align_corners=False) + self.least

    def _coloured(self, x: Tensor, amount: float, random: Generator) -> Tensor:
        """Change brightness, contrast and saturation, in this order, and cut off at the range."""
        light, contrast, saturation = (torch.rand((3, len(x), 1, 1, 1), generator=random) * 2 - 1) * amount
        x = x + light * (self.greatest - self.least)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (1 + contrast) * (x - mean)
        grey = x.mean(1, keepdim=True)
        x = grey + (1 + saturation) * (x - grey)
        return torch.minimum(torch.maximum(x, self.least), self.greatest)


def _mixed(x: Tensor, amount: float, random: Generator) -> Tensor:
    """Mix each image with another one of the batch; the share is of Beta(amount, amount)."""
    pair = torch._standard_gamma(torch.full((2, len(x), 1, 1, 1), amount), generator=random)  # noqa: SLF001
    share = pair[0] / pair.sum(0)
    return torch.lerp(x[torch.randperm(len(x), generator=random)], x, share.to(x.dtype))
