"""Recipes as text, and the rates that follow from them."""

from __future__ import annotations

import re

import pytest

from graphopt.distillation.held_out import held_out_numbers
from graphopt.distillation.recipe import Recipe, parse_recipe
from graphopt.distillation.schedule import rate
from graphopt.errors import TrainingError


def test_text_is_read_and_printed_back():
    text = "distill{epochs=3 optimizer=adamw rate=0.001 features=a,b augment=flip,crop:2}"
    recipe = parse_recipe(text)
    assert (recipe.epochs, recipe.features, recipe.augment) == (3, ("a", "b"), ("flip", "crop:2"))
    assert str(recipe) == text
    assert str(Recipe()) == "distill"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train{epochs=3}", "cannot read 'train{epochs=3}': it is called 'distill'"),
        ("distill{epoch=3}", "recipe 'distill' has no option 'epoch' (did you mean 'epochs'?)"),
        ("distill{epochs=0}", "option epochs=0 of 'distill' must be 1 or more"),
        ("distill{rate=-1}", "option rate=-1.0 of 'distill' must be above 0"),
        ("distill{rate=fast}", "option rate=fast of recipe 'distill' must be float"),
        ("distill{rate=inf}", "option rate=inf of 'distill' must be above 0"),
        ("distill{held-out=1}", "option held-out=1.0 of 'distill' must be from 0 to below 1"),
        ("distill{momentum=0}", "Nesterov's step of 'distill' needs momentum"),
        ("distill{augment=flop}", "unknown augmentation 'flop'; there are colour, crop, flip"),
        ("distill{augment=crop:x}", "the amount of augmentation 'crop:x' is none; give one as in crop:4"),
        ("distill{augment=flip:2}", "the amount of augmentation 'flip:2' is none"),
        ("distill{epochs=3", "missing '}'"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str):
    with pytest.raises(TrainingError, match=re.escape(sentence)):
        parse_recipe(text)


def test_rates_rise_and_fall():
    def rates(text: str) -> list[float]:
        recipe = parse_recipe(text)
        return [round(rate(recipe, step, 8), 4) for step in range(8)]

    assert rates("distill{rate=1 schedule=constant warm-up=0.5}") == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert rates("distill{rate=1 schedule=step warm-up=0}") == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates("distill{rate=1 schedule=exponential decay=0.0001 warm-up=0}")[::2] == [1, 0.1, 0.01, 0.001]
    assert rates("distill{rate=1 warm-up=0}")[::2] == [1, 0.8536, 0.5, 0.1464]


def test_some_samples_are_held_out():
    numbers = held_out_numbers(Recipe(held_out=0.25, seed=3), 40)
    assert len(numbers) == len(set(numbers)) == 10
    assert numbers == sorted(numbers) == held_out_numbers(Recipe(held_out=0.25, seed=3), 40)
    assert held_out_numbers(Recipe(held_out=0), 40) == []
    with pytest.raises(TrainingError, match="held-out=0.1 of 4 samples leaves none on one side; give more samples"):
        held_out_numbers(Recipe(), 4)
