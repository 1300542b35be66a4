"""Compile what the first solves and the first descent would otherwise compile, once per machine.

    .venv/bin/python setup/compile.py

Numba and Firedrake keep their code under ``$POPINV_CACHE``, or ``~/.cache/popinv``, for all
checkouts. What is there already takes a few seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import popinv
from popinv.forward.base import DifferentiableModel
from popinv.forward.section import forward_section

# Small meshes: the code does not depend on their size.
KINDS: list[dict[str, Any]] = [
    {"kind": "lorenz96"},
    {"kind": "lorenz96", "scales": 2},
    {"kind": "porous_flow", "elements": 20, "modes": 4},
    {"kind": "porous_flow", "dimension": 2, "elements": 8, "modes": 2},
    {"kind": "elastodynamics", "elements": 10},
    {"kind": "elastodynamics", "dimension": 2, "elements": 4},
]


def solve(keys: dict[str, Any]) -> None:
    """Solve two systems of a kind, with derivatives where it has them."""
    model = forward_section(keys).model(seed=1)
    z = np.full((2, len(model.parameters)), 8.0 if keys["kind"] == "lorenz96" else 0.1)
    y = model.solve(z).observations
    if isinstance(model, DifferentiableModel):
        model.jvp(z, np.ones((1, *z.shape)))
        model.vjp(z, np.ones_like(y))


def descend() -> None:
    """Fit a normal law, by the distance and by the likelihoods."""
    y = np.random.default_rng(1).normal(1.0, 0.5, (60, 1)) + np.linspace(-0.1, 0.1, 3)
    popinv.fit(
        y,
        lambda z: z.expand(-1, 3) * torch.ones(3, dtype=z.dtype),
        law={"kind": "normal", "start": {"a": {"mean": 1.0, "standard_deviation": 0.5}}},
        noise={"kind": "isotropic", "start": {"standard_deviation": 0.1}},
        tests=False,
        progress=False,
    )


if __name__ == "__main__":
    for kind in KINDS:
        solve(kind)
    descend()
