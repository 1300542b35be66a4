"""Time the sliced Wasserstein and energy distances, with gradients, against their peers.

    OMP_NUM_THREADS=1 python benchmarks/sliced_wasserstein.py [--repeats 15]

1000 x 1000 points in 50 dimensions, 1000 and 100 directions given to all alike, double precision.
Each time is that of projecting both samples and of the value and its gradient with respect to the
model points:

- fresh: the data are projected and sorted as well, as with new directions in every iteration;
- reuse: data projections on a pool of directions were sorted beforehand;
- POT: `ot.sliced_wasserstein_distance` squared, torch backend, autograd;
- torch sort: `torch.sort` of both projections, mean squared difference, autograd.

The contestants take turns, so that a busy machine disturbs all of them; the table shows minimum
and median, and ratios of minima to ours. Nothing is asserted about time, only that all agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import ot
import torch
from scipy.spatial.distance import cdist

from popinv.transport.energy import energy_distance, sliced_energy_distance, slicing_constant
from popinv.transport.sliced import (
    SortedProjections,
    directions,
    projected_wasserstein_squared,
    sliced_wasserstein_squared,
)

TARGET = 8.0


def take_turns(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds of every contestant in every round, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, function in contestants.items():
            start = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values[1:]) for name, values in times.items()}


def wasserstein(count: int, repeats: int) -> None:
    """Print the table of one number of directions."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1000, 50)), 0.1 + rng.standard_normal((1000, 50))
    theta = directions(rng, count, 50)
    pool = SortedProjections.of(x, theta)
    tx, ty, frame = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(theta)
    sorted_data = torch.from_numpy(pool.rows.T)

    def with_gradient(
        loss: Callable[[torch.Tensor], torch.Tensor],
    ) -> Callable[[], tuple[float, np.ndarray]]:
        def run() -> tuple[float, np.ndarray]:
            model = ty.clone().requires_grad_()
            value = loss(model)
            value.backward()
            return value.item(), model.grad.numpy()

        return run

    def by_torch_sort(model: torch.Tensor) -> torch.Tensor:
        a, b = (torch.sort(frame.T @ z.T, dim=1).values for z in (tx, model))
        return (a - b).square().mean()

    contestants = {
        "torch, fresh": with_gradient(
            lambda z: projected_wasserstein_squared((frame.T @ tx.T).T, (frame.T @ z.T).T)
        ),
        "torch, reuse": with_gradient(
            lambda z: projected_wasserstein_squared(
                sorted_data, (frame.T @ z.T).T, data_sorted=True
            )
        ),
        "numpy, fresh": lambda: sliced_wasserstein_squared(x, y, theta),
        "numpy, reuse": lambda: pool.compare(y),
        "POT": with_gradient(
            lambda z: ot.sliced_wasserstein_distance(tx, z, projections=frame, p=2).square()
        ),
        "torch sort": with_gradient(by_torch_sort),
    }
    expected, expected_gradient = contestants["POT"]()
    for name, contestant in contestants.items():
        value, gradient = contestant()
        assert abs(value / expected - 1) < 1e-9, name
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-12)

    times = take_turns(contestants, repeats)
    pot, plain = times["POT"].min(), times["torch sort"].min()
    print(f"\nsquared sliced W2 and gradient, 1000 x 1000 points, d = 50, {count} directions")
    print(f"{'':14s}{'min ms':>9s}{'median':>9s}{'POT/this':>10s}{'target':>8s}{'sort/this':>11s}")
    for name, values in times.items():
        target = f"{TARGET:.0f}" if name.startswith(("torch,", "numpy,")) else ""
        print(
            f"{name:14s}{values.min():9.2f}{np.median(values):9.2f}"
            f"{pot / values.min():10.1f}{target:>8s}{plain / values.min():11.1f}"
        )


def energy(repeats: int) -> None:
    """Print the table of energy distances; the peer makes no gradient, ours does."""
    rng = np.random.default_rng(1)
    n, d, count = 10_000, 12, 100
    x, y = rng.standard_normal((n, d)), 0.1 + rng.standard_normal((n, d))
    theta = directions(rng, count, d)
    contestants = {
        "sliced, with gradient": lambda: (
            sliced_energy_distance(x, y, theta)[0] / slicing_constant(d)
        ),
        "exact, in blocks": lambda: energy_distance(x, y),
        "three cdist": lambda: 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean(),
    }
    values = {name: function() for name, function in contestants.items()}
    times = take_turns(contestants, repeats)
    peer = times["three cdist"].min()
    print(f"\nenergy distance, {n} x {n} points, d = {d}, {count} directions")
    print(f"{'':22s}{'min ms':>9s}{'median':>9s}{'cdist/this':>12s}{'value':>10s}")
    for name, ms in times.items():
        print(
            f"{name:22s}{ms.min():9.1f}{np.median(ms):9.1f}{peer / ms.min():12.1f}"
            f"{values[name]:10.5f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    print(f"torch threads: {torch.get_num_threads()}; numpy {np.__version__}, POT {ot.__version__}")
    for count in (1000, 100):
        wasserstein(count, repeats)
    energy(max(2, repeats // 5))


if __name__ == "__main__":
    main()
