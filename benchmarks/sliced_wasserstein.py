"""The squared sliced Wasserstein distance and its gradient beside two ways through autograd.

1000 data and 1000 model points in 50 dimensions, double precision, the same directions for all.
Every side projects and sorts both samples; nothing is kept from call to call.
"""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.peers.sliced_wasserstein import by_pot, by_sorting, with_gradient
from benchmarks.rows import Contest, Row, largest_difference
from popinv.seeds import generator
from popinv.transport.sliced import directions, sliced_wasserstein_squared

__all__ = ["difference", "rows"]

_POINTS, _DIMENSION = 1000, 50
_PEERS = {
    "pot": ("POT, torch backend, autograd", ("POT", "torch"), by_pot, 8.0),
    "torch": ("torch.sort and autograd", ("torch",), by_sorting, 1.0),
}


def rows() -> list[Row]:
    """Return the rows of both numbers of directions."""
    return [
        Row(
            name=f"sliced_wasserstein_{count}/{name}",
            work=f"squared distance and gradient, 1000 x 1000 points, d = 50, {count} directions",
            peer=words,
            packages=packages,
            target=target,
            prepare=functools.partial(_contest, distance, count),
        )
        for count in (1000, 100)
        for name, (words, packages, distance, target) in _PEERS.items()
    ]


def _contest(distance: Any, count: int) -> Contest:
    rng = generator(0, "benchmarks/sliced_wasserstein")
    data = rng.standard_normal((_POINTS, _DIMENSION))
    model = 0.1 + rng.standard_normal((_POINTS, _DIMENSION))
    theta = directions(rng, count, _DIMENSION)
    return Contest(
        ours=lambda: sliced_wasserstein_squared(data, model, theta),
        peer=with_gradient(distance, data, model, theta),
        tolerance=1e-9,
        repeats=11,
        difference=difference,
    )


def difference(ours: Any, peer: Any) -> float:
    """Return the largest difference, relative, of the values or of the gradients."""
    return max(abs(ours[0] / peer[0] - 1), largest_difference(ours[1], peer[1]))
