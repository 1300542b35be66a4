"""Lorenz-96 with one scale and two by array libraries: NumPy, torch and JAX.

States have the members last: x (K, members) and, with two scales, y (K J, members) on one ring.
Coefficients are one number for each member. The layout with the members first was slower for all
three. A two-scale model without fast variables equals the one-scale model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Coefficients", "jax_scan", "numpy_roll", "torch_roll"]

March = Callable[[], tuple[Any, Any]]


@dataclass(frozen=True)
class Coefficients:
    """Forcing F, coupling h, time scale c and space scale b; arrays of shape (members,)."""

    forcing: Any
    coupling: Any
    time_scale: Any
    space_scale: Any


def _slopes(
    x: Any, y: Any, coefficients: Coefficients, roll: Callable[[Any, int], Any]
) -> tuple[Any, Any]:
    """Return the time derivatives; ``roll`` shifts along the ring, the first axis."""
    dx = roll(x, 1) * (roll(x, -1) - roll(x, 2)) - x + coefficients.forcing
    if not len(y):
        return dx, y
    h, c, b = coefficients.coupling, coefficients.time_scale, coefficients.space_scale
    sectors = y.reshape(len(x), -1, *x.shape[1:])
    each = sectors.shape[1]
    drive = (h * c / each * x)[:, None]
    advected = c * b * (roll(y, -1) * (roll(y, -2) - roll(y, 1)))
    dy = (drive - c * sectors).reshape(y.shape) - advected
    return dx - h * c * sectors.mean(1), dy


def _step(
    x: Any, y: Any, coefficients: Coefficients, dt: float, roll: Callable[[Any, int], Any]
) -> Any:
    """Return the state after one step of the classical Runge-Kutta method."""

    def ahead(share: float, slope: tuple[Any, Any]) -> tuple[Any, Any]:
        return x + share * dt * slope[0], y + share * dt * slope[1]

    k_1 = _slopes(x, y, coefficients, roll)
    k_2 = _slopes(*ahead(0.5, k_1), coefficients, roll)
    k_3 = _slopes(*ahead(0.5, k_2), coefficients, roll)
    k_4 = _slopes(*ahead(1.0, k_3), coefficients, roll)
    return tuple(
        u + dt / 6 * (a + 2 * b + 2 * c + d)
        for u, a, b, c, d in zip((x, y), k_1, k_2, k_3, k_4, strict=True)
    )


def numpy_roll(
    x: np.ndarray, y: np.ndarray, coefficients: Coefficients, dt: float, steps: int
) -> March:
    """Return the march with ``np.roll``."""

    def march() -> tuple[Any, Any]:
        state = x, y
        for _ in range(steps):
            state = _step(*state, coefficients, dt, lambda u, shift: np.roll(u, shift, axis=0))
        return state

    return march


def torch_roll(
    x: np.ndarray, y: np.ndarray, coefficients: Coefficients, dt: float, steps: int
) -> March:
    """Return the march with ``torch.roll``."""
    import torch

    start = torch.from_numpy(x), torch.from_numpy(y)
    tensors = Coefficients(*(torch.from_numpy(values) for values in vars(coefficients).values()))

    def march() -> tuple[Any, Any]:
        state = start
        with torch.inference_mode():
            for _ in range(steps):
                state = _step(*state, tensors, dt, lambda u, shift: torch.roll(u, shift, dims=0))
        return state[0].numpy(), state[1].numpy()

    return march


def jax_scan(x: np.ndarray, y: np.ndarray, members: Coefficients, dt: float, steps: int) -> March:
    """Return a compiled ``lax.scan`` over steps of one member, mapped over the members."""
    import jax

    numpy = jax.numpy

    def member(x: Any, y: Any, forcing: Any, h: Any, c: Any, b: Any) -> Any:
        own = Coefficients(forcing, h, c, b)
        return _step(x, y, own, dt, lambda u, shift: numpy.roll(u, shift))

    mapped = jax.vmap(member, in_axes=-1, out_axes=-1)

    @jax.jit
    def whole(x: Any, y: Any, coefficients: tuple[Any, ...]) -> Any:
        def body(state: Any, _: None) -> tuple[Any, None]:
            return mapped(*state, *coefficients), None

        return jax.lax.scan(body, (x, y), None, length=steps)[0]

    # JAX rounds to single precision unless told not to.
    with jax.enable_x64(True):
        given = (
            numpy.asarray(x),
            numpy.asarray(y),
            tuple(map(numpy.asarray, vars(members).values())),
        )

    def march() -> tuple[Any, Any]:
        with jax.enable_x64(True):
            return jax.block_until_ready(whole(*given))

    return march
