"""Changes of images: what they may do, in which range, and how often."""

from __future__ import annotations

import pytest
import torch

from graphopt.distillation.augmentation import Augmentation, augmentations, parse_augmentation
from graphopt.distillation.training.augment import Augmenter

IMAGES = torch.rand((16, 3, 8, 10), generator=torch.Generator().manual_seed(0)) * 5 - 2


def changed(*texts: str, images: torch.Tensor = IMAGES, seed: int = 1) -> torch.Tensor:
    augmenter = Augmenter.of([parse_augmentation(text) for text in texts], images)
    return augmenter(images, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("text", ["flip", "crop", "rotate", "translate", "colour", "mixup"])
def test_every_change_keeps_shape_and_range_and_follows_its_seed(text: str):
    made = changed(text)
    assert made.shape == IMAGES.shape
    assert not torch.equal(made, IMAGES)
    assert torch.equal(made, changed(text))
    assert not torch.equal(made, changed(text, seed=2))
    low, high = IMAGES.amin((0, 2, 3)), IMAGES.amax((0, 2, 3))
    assert (made.amin((0, 2, 3)) >= low - 1e-5).all()
    assert (made.amax((0, 2, 3)) <= high + 1e-5).all()


def test_flips_are_of_whole_images():
    made = changed("flip")
    kept = (made == IMAGES).flatten(1).all(1)
    turned = (made == IMAGES.flip(-1)).flatten(1).all(1)
    assert (kept ^ turned).all()
    assert kept.any()
    assert turned.any()


@pytest.mark.parametrize(("text", "down", "right"), [("crop:2", 2, 2), ("translate:0.25", 2, 2)])
def test_shifts_move_whole_images_and_darkness_comes_in(text: str, down: int, right: int):
    dot = torch.full((64, 1, 8, 8), -1.0)
    dot[:, :, 4, 4] = 3.0
    made = changed(text, images=dot)
    places = (made == 3.0).nonzero()[:, 2:] - 4
    assert len(places) == 64
    assert places.amin(0).tolist() == [-down, -right]
    assert places.amax(0).tolist() == [down, right]
    assert (made.flatten(1).sort(1).values[:, :-1] == -1.0).all()


def test_rotation_turns_about_the_centre():
    line = torch.zeros((32, 1, 9, 9))
    line[:, :, 4, :] = 1.0
    made = changed("rotate:90", images=line)
    assert torch.allclose(made[:, 0, 4, 4], torch.ones(32), atol=1e-4)
    upright = made[:, 0, :, 4].sum(1)
    assert upright.max() > 5
    assert upright.min() < 3


def test_mixtures_lie_between_two_images():
    pair = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)]).repeat(8, 1, 1, 1)
    made = changed("mixup", images=pair).flatten(1)
    assert torch.allclose(made, made[:, :1].expand_as(made))
    assert ((made >= 0) & (made <= 1)).all()
    assert ((made > 0) & (made < 1)).any()


@pytest.mark.parametrize(
    ("shape", "taught", "changes"),
    [
        ((9, 3, 32, 48), True, (Augmentation("flip", 0.5), Augmentation("crop", 4))),
        ((9, 3, 32, 48), False, ()),
        ((9, 1, 32, 48), True, ()),
        ((9, 3, 4, 4), True, ()),
        ((9, 32), True, ()),
    ],
)
def test_photographs_are_changed_by_themselves(shape: tuple[int, ...], taught: bool, changes: tuple[Augmentation, ...]):
    assert augmentations(("auto",), shape, taught=taught) == changes
    assert augmentations(("none",), shape, taught=taught) == ()


def test_nothing_is_done_where_nothing_is_said():
    assert changed() is IMAGES
