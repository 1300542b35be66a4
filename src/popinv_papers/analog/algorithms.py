"""Digital and analog gradient descent, Tiki-Taka, and residual learning, as pure steps.

With U the update of a device (:func:`popinv_papers.analog.devices.update`) and g the gradient,

    digital      W <- W - rate g
    analog       W <- U(W, -rate g)
    tiki_taka    P <- U(P, rate g),    W <- U(W, -transfer P)
    residual     P <- U(P, -rate g),   W <- U(W, transfer P),   g taken at W + mixing P

(arXiv 2406.12774; residual learning is from arXiv 2502.06309). P has the sign of the gradient in
Tiki-Taka and the opposite sign in residual learning. A mixture in Tiki-Taka would have to be
W - mixing P; with the other sign it is unstable. The second array starts at 0, which must be its
symmetric point, since gradient noise drives it there.

The paper's alpha is ``transfer`` in Tiki-Taka and ``rate`` in the other methods. Its beta is
Tiki-Taka's ``rate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from popinv.errors import ConfigError, require_known
from popinv_papers.analog.devices import Array, Device, update

KINDS = ("digital", "analog", "tiki_taka", "residual")

# Moves conductances by an increment and its size; see `devices.update` and `devices.pulsed_update`.
Update = Callable[[Device, Array, Array, Array | None], Array]


@dataclass(frozen=True)
class Weights:
    """State of a training: the weights W, and the second array P (None if a method has none)."""

    w: Array
    p: Array = None


@dataclass(frozen=True)
class AnalogTraining:
    """Settings of a training.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    rate : float or array
        Learning rate of the gradient, on the array that receives it.
    transfer : float or array
        Learning rate from P to W.
    mixing : float
        Mixing of residual learning. The paper on Tiki-Taka has none.
    device, fast_device : Device
        Devices of W and of P; by default, P has the device of W. A digital method has none.

    Raises
    ------
    ConfigError
        If there is no such method, or a required argument is missing.
    """

    kind: str
    rate: Any
    transfer: Any = None
    mixing: float = 0.0
    device: Device | None = None
    fast_device: Device | None = None

    def __post_init__(self) -> None:
        require_known(self.kind, KINDS, f"method is '{self.kind}'")
        if self.kind != "digital" and self.device is None:
            raise ConfigError(f"method '{self.kind}' needs a device")
        if self.has_second and self.transfer is None:
            raise ConfigError(f"method '{self.kind}' needs a rate of transfer")
        if self.mixing and self.kind != "residual":
            raise ConfigError(
                f"mixing is {self.mixing}, but the gradient of '{self.kind}' is taken at W"
            )

    @property
    def has_second(self) -> bool:
        """Return whether there is a second array."""
        return self.kind in ("tiki_taka", "residual")


def begin(w: Array, method: AnalogTraining) -> Weights:
    """Return the state before the first step, with the second array at 0."""
    return Weights(w, 0 * w if method.has_second else None)


def point(state: Weights, method: AnalogTraining) -> Array:
    """Return the point at which the gradient is taken."""
    return state.w + method.mixing * state.p if method.mixing else state.w


def step(
    state: Weights,
    gradient: Array,
    method: AnalogTraining,
    size: Array | None = None,
    column: int | None = None,
    change: Update = update,
    read: Callable[[Array], Array] | None = None,
) -> Weights:
    """Return the state after a step; the given one is not changed.

    Parameters
    ----------
    gradient : array
        At ``point(state, method)``; the sum over the samples.
    size : array, optional
        Sum over the samples of the gradient's absolute values, if each sample is its own update, as
        on hardware; by default |gradient|.
    column : int, optional
        The only column of P to transfer, as hardware reads one column at a time. For matrices (rows
        out, columns in).
    change : callable, optional
        Moves the conductances; by default, increments are not rounded to pulses.
    read : callable, optional
        Reads a column of P for its transfer; exactly by default.
    """
    w, p = state.w, state.p
    if method.kind == "digital" or method.device is None:
        return Weights(w - method.rate * gradient)
    size = None if size is None else method.rate * size
    if method.kind == "analog":
        return Weights(change(method.device, w, -method.rate * gradient, size))
    sign = 1 if method.kind == "tiki_taka" else -1
    p = change(method.fast_device or method.device, p, sign * method.rate * gradient, size)
    if column is None:
        return Weights(change(method.device, w, -sign * method.transfer * p, None), p)
    # A copy by addition works for arrays and tensors.
    w = w + 0
    moved = -sign * method.transfer * (p[:, column] if read is None else read(p[:, column]))
    w[:, column] = change(method.device.of_column(column), w[:, column], moved, None)
    return Weights(w, p)
