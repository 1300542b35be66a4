"""A Taylor test of the derivatives of the solves, at a few systems.

Along a direction u, the remainder ``G(z + h u) - G(z) - h v`` falls with the square of h where v is
the derivative ``J u``, and with h itself where it is not. What is compared is v with the central
differences ``(G(z + h u) - G(z - h u)) / 2h`` of two steps h: their own error is of second order in
h, and the gap between the two says how large it is, whether it comes from curvature or from solves
that are not exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from popinv.forward.base import Solutions

Answer = Callable[[np.ndarray, np.ndarray], Solutions]

_STEPS = np.array([1 / 16, 1 / 128])
# Steps for curves that bend within those.
_FINER = _STEPS / 64
# Tolerated error of a derivative by differences, or of an inexact solve, as a share of an entry's
# change.
_TOLERANCE = 0.01
# The adjoint is compared with tangents at the same point, without differences.
_ADJOINT_TOLERANCE = 1e-3
# An entry whose change is below this share of its value counts as unchanged.
_NOTHING = 1e-8
# Derivatives of a system below this share of those of the others are not compared.
_UNDERFLOW = 1e-9
# Largest number of parameters among which the one at fault is searched.
_NAMED = 16


def derivative_fault(
    solve: Callable[[np.ndarray], Solutions],
    changes: Answer,
    gradients: Answer,
    z: np.ndarray,
    names: Sequence[str],
    held: int = 0,
) -> str | None:
    """Return the fault of the derivatives, "" if there is none, None if none can be compared.

    Parameters
    ----------
    solve : callable
        Maps (r n, d_z), the n systems r times with changed parameters, to observations.
    changes : callable
        Maps z and tangents (k, n, d_z) to y and its changes side by side, (n, (1 + k) d_y).
    gradients : callable
        Maps z and cotangents (n, d_y) to gradients, (n, d_z).
    z : ndarray of shape (n, d_z)
        Draws of a population. Each is moved to and from the next, by a sixteenth of the way and by
        a quarter of its own size at most.
    names : sequence of str, length d_z
        Names of the parameters.
    held : int
        The last entries of z by which nothing is differentiated. These are inputs over time: an
        observation at the end of an infusion has a kink there.
    """
    if len(z) == 0:
        return None
    u = _directions(z)
    u[:, z.shape[1] - held :] = 0.0
    y, steps, slopes = _differences(solve, z, u[None])
    good = np.isfinite(y).all(axis=1) & np.isfinite(slopes).all(axis=(0, 1, 3))
    if not good.any():
        return None
    answers = changes(z, u[None])
    failed = good & answers.failed
    good &= ~failed
    # At one of several systems, a power may overflow in the derivative alone.
    if not good.any():
        return f"they fail where the solve succeeds: {answers.reason[failed][0]}."
    beside, given = np.split(answers.observations, 2, axis=1)
    off = np.abs(beside - y)[good] > _TOLERANCE * np.abs(y[good]).max(axis=0)
    if off.any():
        return (
            f"{off.sum()} of {off.size} observations that come with them differ from the solve's."
        )
    excess = _excess(slopes, given[None], y, good)[0]
    if excess.max() > 1:
        # A steep curve bends within both steps, which may err alike. Of solves that are not exact,
        # finer steps differ by more.
        finer = _differences(solve, z, u[None], _FINER)[2]
        nearer = np.abs(np.diff(finer, axis=0)) < np.abs(np.diff(slopes, axis=0))
        excess = np.where(nearer[0, 0], _excess(finer, given[None], y, good)[0], excess)
    if excess.max() > 1:
        i, j = np.unravel_index(excess.argmax(), excess.shape)
        remainders = np.abs(steps[:, 0, i, j] - y[i, j] - _STEPS * given[i, j])
        falls = remainders[0] / max(remainders[1], np.finfo(float).tiny)
        step = _STEPS[0] / _STEPS[1]
        return (
            f"{_worst(solve, changes, z, u, int(i), names)}; when the step falls by a factor of "
            f"{step:.0f}, the remainder of Taylor's expansion falls by {falls:.3g}, but with the "
            f"right derivative by {step**2:.0f}."
        )
    return _adjoint_fault(gradients, z, u, given, good)


def _directions(z: np.ndarray) -> np.ndarray:
    """Return a direction for each row, towards the next row, short enough to change no sign."""
    ways = np.roll(z, -1, axis=0) - z
    sizes = np.where(z == 0, 1.0, np.abs(z))
    return np.where(ways == 0, 0.1 * sizes, np.clip(ways, -4 * sizes, 4 * sizes))


def _differences(
    solve: Callable[[np.ndarray], Solutions],
    z: np.ndarray,
    directions: np.ndarray,
    steps: np.ndarray = _STEPS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y (n, d_y), y one step further, and central differences, each (steps, k, n, d_y)."""
    moves = steps[:, None, None, None] * directions
    points = np.concatenate([z[None], *(z + moves), *(z - moves)])
    values = solve(points.reshape(-1, z.shape[1])).observations.reshape(*points.shape[:2], -1)
    after, before = values[1:].reshape(2, *moves.shape[:3], -1)
    return values[0], after, (after - before) / (2 * steps[:, None, None, None])


def _excess(slopes: np.ndarray, given: np.ndarray, y: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return the gaps between derivatives and differences over the tolerance, (k, n, d_y)."""
    scale = np.abs(slopes[1][:, good]).max(axis=(0, 1))
    nothing = _NOTHING * (np.abs(y[good]).max(axis=0) + scale.max()) + np.finfo(float).tiny
    tolerated = _TOLERANCE * scale + 2 * np.abs(slopes[0] - slopes[1]) + nothing
    return np.where(good[:, None], np.abs(slopes - given).min(axis=0) / tolerated, 0.0)


def _worst(
    solve: Callable[[np.ndarray], Solutions],
    changes: Answer,
    z: np.ndarray,
    u: np.ndarray,
    i: int,
    names: Sequence[str],
) -> str:
    """Return the worst derivative of system i in one parameter, in words."""
    count = min(z.shape[1], _NAMED)
    along = np.eye(z.shape[1])[:count, None] * u
    y, _, slopes = _differences(solve, z, along)
    answers = changes(z, along).observations.reshape(len(z), 1 + count, -1)
    given = answers[:, 1:].transpose(1, 0, 2)
    excess = np.nan_to_num(_excess(slopes, given, y, np.arange(len(z)) == i)[:, i])
    k, j = np.unravel_index(excess.argmax(), excess.shape)
    at = ", ".join(f"{name} = {value:.4g}" for name, value in zip(names[:6], z[i], strict=False))
    return (
        f"at {at} the derivative of observation {j} (counted from 0) in '{names[k]}' is given as "
        f"{given[k, i, j] / u[i, k] + 0.0:.4g}, but differences of solves give "
        f"{slopes[1, k, i, j] / u[i, k]:.4g}"
    )


def _adjoint_fault(
    gradients: Answer, z: np.ndarray, u: np.ndarray, given: np.ndarray, good: np.ndarray
) -> str:
    """Return a fault if <c, J u> is not <J^T c, u>, for a c that leaves nothing to cancel."""
    scale = np.abs(given[good]).max(axis=0)
    c = np.divide(given, scale**2, out=np.zeros_like(given), where=good[:, None] & (scale > 0))
    answers = gradients(z, c)
    failed = good & answers.failed
    good = good & ~failed
    if not good.any():
        return f"gradients fail where the solve succeeds: {answers.reason[failed][0]}."
    forwards, backwards = (
        (c * given).sum(axis=1)[good],
        (answers.observations * u).sum(axis=1)[good],
    )
    # Where a system's observations hardly depend on its parameters, as at the end of a saturation,
    # its derivatives underflow.
    sizes = np.abs(forwards) + _UNDERFLOW * np.abs(forwards).max()
    gaps = np.abs(forwards - backwards) / np.maximum(sizes, np.finfo(float).tiny)
    i = gaps.argmax()
    if gaps[i] > _ADJOINT_TOLERANCE:
        return (
            "gradients and derivatives along tangents are not of one Jacobian J: <c, J u> is "
            f"{forwards[i]:.6g}, but <J^T c, u> is {backwards[i]:.6g}."
        )
    return ""
