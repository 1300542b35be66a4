"""Test problems that are killed and go on: no part is computed twice, and no number changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiers import parameters

from popinv.store.checkpoints import Checkpoint
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.kept import _Parts, keeping

Parts = Callable[[], Mapping[str, Any]]


class Killed(Exception):
    """The end of a job before its time."""


def killed_after(stores: int, parts: Parts, folder: Path) -> list[str]:
    """Run parts until a number of stores were written, and return the parts that were read."""
    written: list[Path] = []
    write = Checkpoint.write

    def write_and_end(self: Checkpoint, arrays: Mapping[str, np.ndarray]) -> None:
        write(self, arrays)
        written.append(self.path)
        if len(written) == stores:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_end)
        with pytest.raises(Killed), keeping(folder, {}, seconds=0) as reused:
            parts()
    return reused


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        one, other = np.asarray(found[name]), np.asarray(value)
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        np.testing.assert_array_equal(one, other, err_msg=name)


def arrays_of(dataset: Any) -> dict[str, np.ndarray]:
    return {str(name): dataset[name].values for name in dataset.variables} | dict(dataset.attrs)


# --- the methods' parts, tiny --------------------------------------------------------------------


def birch() -> Mapping[str, Any]:
    from popinv_papers.birch import problem
    from popinv_papers.birch.objectives import quadratic
    from popinv_papers.birch.regimes import Task
    from popinv_papers.birch.theory import promise

    bowl = quadratic(4, 0.2)
    tasks = [
        Task(name, bowl, share * bowl.gap, Task.octaves(0.5, 4), 400)
        for name, share in (("near", 0.2), ("never", 0.0))
    ]
    size = problem.BirchSize(4, 28, 10, (4, 8), ("minibatch", "rennala"), seeds=2)
    promised = [promise(quadratic(4, 0.2), seed) for seed in (1, 2)]
    promises = {f"{p.name} {i}": p.mean for i, one in enumerate(promised) for p in one}
    return promises | arrays_of(problem.compare(size, tasks, 1))


def bigram() -> Mapping[str, Any]:
    from popinv_papers.bigram import check
    from popinv_papers.bigram.cross_entropy import cross_entropy_steps
    from popinv_papers.bigram.scaling import collapse, steps_map
    from popinv_papers.bigram.series import advice_trials
    from popinv_papers.bigram.text_problem import predicted_halves, text

    rng, targets = np.random.default_rng(0), (0.3, 0.2)
    named = {
        size: ([np.minimum(rng.zipf(1.6, 400) - 1, size - 1) for _ in range(10)], size)
        for size in (20, 30)
    }
    whole = check.whole(
        collapse((100, 1000), (0.5, 1.0)),
        steps_map((100, 1000), (0.5, 1.0), targets),
        text(named, 2, 1),
        predicted_halves(named[30], 2, 1, targets),
        cross_entropy_steps((5, 6)),
        advice_trials(2, 1, (0.5, 1.0), targets),
    )
    return arrays_of(whole)


def analog() -> Mapping[str, Any]:
    from popinv_papers.analog import check, digits, quadratic

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 28, 28)).astype(np.uint8), np.arange(24) % 10
    size = digits.DigitsSize(16, 8, 3, 2, hardware=True)
    whole = check.AnalogSize(
        quadratic.QuadraticSize(40, 40, 40), {"fcn": size, "cnn": size}, seeds=2
    )
    each = check.quadratic_numbers(whole, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "RANGES", {"fcn": (0.7,), "cnn": (0.6,)})
        reached = digits.runs(ImageSet(images, labels, images, labels), whole.digits, 1)
    numbers = {f"{name} {i}": value for i, one in enumerate(each) for name, value in one.items()}
    return {
        **numbers,
        **{f"{kind} {name}": np.array(a) for kind, by in reached.items() for name, a in by.items()},
    }


def fedhl() -> Mapping[str, Any]:
    from popinv_papers.fedhl import problem
    from popinv_papers.fedhl.accuracies import Division, Training, accuracies
    from popinv_papers.fedhl.regression import floors, rates, regressions

    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (60, 28, 28)).astype(np.uint8), np.arange(60) % 10
    images = ImageSet(pixels, labels, pixels[:20], labels[:20])
    training = Training((Division(10, 0.5),), 2, 1, 2)
    size = problem.ImagesSize(training, 50, 10, 6, 2)
    pilot, *ones = (problem.digits(images, images, size, seed) for seed in (3, 1, 2))
    whole = problem.merged(
        accuracies(training, pilot, ones),
        regressions(2, (1, 2)),
        rates((1, 2), (1, 2)),
        floors(2, (1, 2)),
    )
    return arrays_of(whole)


def influence() -> Mapping[str, Any]:
    from popinv_papers.influence import language, mixture
    from popinv_papers.influence.pretraining import (
        LanguageModel,
        PretrainingCorpus,
        passages,
        pretrain,
        with_weights,
    )
    from popinv_papers.influence.problem import each_draw
    from popinv_papers.kit.text import CATEGORIES

    rng = np.random.default_rng(0)
    source = {f"{kind}{number:02}": kind for kind in CATEGORIES for number in range(6)}
    sentences = {name: [rng.integers(0, 18, 4) for _ in range(30)] for name in source}
    corpus = PretrainingCorpus({name: passages(s, 8) for name, s in sentences.items()}, source, 20)
    model = LanguageModel(length=8, width=8, heads=2, layers=2, steps=60, batch_size=8)
    both = {"landmarks": (8,), "landmarks_used": 8, "selected": 10, "target": 6, "test": 20}
    size = language.Language(model, pool=60, rare=0.1, warm_steps=2, steps=2, **both)
    known = pretrain(corpus, model, 1)
    trained = with_weights(known, model, 20)
    of_texts = partial(language.compare, corpus, trained, known["pairs"].values, size, 1)
    drawn = each_draw("language", of_texts, 2)
    small = mixture.Mixture(pool=100, rare=(0.1, 0.1), full_epochs=1, loss_tangents=2, **both)
    mixed = each_draw("mixture", partial(mixture.compare, small, 1), 2)
    # What is chosen at equal seconds depends on times, which are not the same again.
    return {
        f"{part} {number} {name}": value
        for part, draws in (("language", drawn), ("mixture", mixed))
        for number, draw in enumerate(draws)
        for name, value in draw.items()
        if "equal_seconds" not in name
    } | arrays_of(known)


def certified_unlearning() -> Mapping[str, Any]:
    from popinv_papers.certified_unlearning import check
    from popinv_papers.certified_unlearning.digits import digits_of

    rng = np.random.default_rng(0)
    labels = rng.choice([3, 8], 400).astype(np.uint8)
    pixels = rng.integers(0, 100, (400, 28, 28)).astype(np.uint8)
    pixels[labels == 3, :, :14] += 50
    digits = digits_of(ImageSet(pixels, labels, pixels[:50], labels[:50]), 384, 1, 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "REQUESTS", 3)
        return arrays_of(check.measure(digits, digits, check.CertifiedSize(2, 3, 2, 2, (32,))))


def instance_unlearning() -> Mapping[str, Any]:
    from popinv_papers.instance_unlearning import experiment, recipe

    rng = np.random.default_rng(0)
    labels = np.arange(60).astype(np.uint8) % 3
    pixels = rng.integers(0, 80, (60, 12, 12)).astype(np.uint8)
    size = replace(
        recipe.SIZES["workstation"], pooled=1, width=4, points=60, tested=20,
        steps=6, tuning=6, group=5, quantiles=2, runs=2, subsets=8, batch=16.0, every=3,
    )  # fmt: skip
    images = ImageSet(pixels, labels, pixels[:20], labels[:20])
    one = recipe.Recipe(*recipe.datasets(images, size, 1), size, 1)
    memorised = experiment.memorised_share(one)
    outcomes = {name: experiment.solve(one, name, memorised) for name in ("sgld", "sgd")}
    numbers = {name: outcome.numbers for name, outcome in outcomes.items()}
    return {
        "memorised": memorised,
        **{f"{name} {key}": v for name, found in numbers.items() for key, v in found.items()},
        **{f"{n} curve {key}": v for n, one in outcomes.items() for key, v in one.curves.items()},
        **{f"{n} steps {key}": v for n, one in outcomes.items() for key, v in one.steps.items()},
    }


METHODS: dict[str, tuple[Parts, int]] = {
    "birch": (birch, 10),
    "analog": (analog, 10),
    "bigram": (bigram, 20),
    "fedhl": (fedhl, 40),
    "influence": (influence, 4),
    "certified_unlearning": (certified_unlearning, 12),
    "instance_unlearning": (instance_unlearning, 70),
}
"""Each method's parts, and the number of stores after which they are killed."""


# Parts and their numbers; and a training that goes on, as in most of the others.
@pytest.mark.full
@parameters("method", list(METHODS)[:1], full=list(METHODS)[1:])
def test_a_killed_test_problem_goes_on_to_the_same_numbers(method, tmp_path, monkeypatch) -> None:
    parts, stores = METHODS[method]
    whole = parts()
    folder = tmp_path / "parts"
    assert not killed_after(stores, parts, folder)
    stored = len(list(folder.iterdir()))
    names, asked = [], _Parts.checkpoint
    monkeypatch.setattr(_Parts, "checkpoint", lambda *a: (names.append(a[1]), asked(*a))[1])
    with keeping(folder, {}, seconds=np.inf) as reused:
        assert_same(parts(), whole)
    assert len(reused) == stored > 0
    assert len(names) == len(set(names)), "two parts have the same name"


def test_the_state_of_a_training_on_devices_is_whole() -> None:
    """A few test images would not tell whether the second array was lost."""
    from popinv_papers.analog import digits
    from popinv_papers.analog.layers import AnalogLayer, set_method

    def begun() -> tuple[torch.nn.Module, torch.Generator]:
        net = digits.network("cnn", 1)
        set_method(net, digits.methods("cnn", hardware=True)["tiki_taka_0.6"])
        return net, torch.Generator().manual_seed(1)

    net, draws = begun()
    first = digits._state(net, draws)
    for layer in net.modules():
        if isinstance(layer, AnalogLayer):
            layer.second = torch.empty_like(layer.weight.data).normal_(generator=draws)
            layer.weight.data += layer.second
            layer.scale.data += 1
    state = digits._state(net, draws)
    unchanged = [name for name in state if np.array_equal(first[name], state[name])]
    assert {name.split(".")[-1] for name in unchanged} == {"bias"}
    again = begun()
    digits._set_state(*again, state)
    assert_same(digits._state(*again), state)
