"""Digital and analog gradient descent, Tiki-Taka, and residual learning, as pure steps.

With U the update of a device (:func:`popinv.downstream.analog.devices.update`) and g the gradient,

    digital      W <- W - rate g
    analog       W <- U(W, -rate g)
    tiki_taka    P <- U(P, rate g),    W <- U(W, -transfer P)
    residual     P <- U(P, -rate g),   W <- U(W, transfer P),   g taken at W + mixing P

(arXiv 2406.12774; residual learning is of arXiv 2502.06309). Tiki-Taka's P has the sign of the
gradient, that of residual learning the opposite one: a mixture of Tiki-Taka would have to be
W - mixing P, and with the other sign it is unstable. The second array starts at 0, which has to be
its symmetric point: gradient noise drives it there.

The paper's alpha is ``transfer`` of Tiki-Taka and ``rate`` of the others, its beta Tiki-Taka's
``rate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from popinv.downstream.analog.devices import Array, Device, update
from popinv.errors import ConfigError, nearest

__all__ = ["KINDS", "Method", "Weights", "begin", "point", "step"]

KINDS = ("digital", "analog", "tiki_taka", "residual")

# What takes conductances by an increment and its size: that of devices, or that in pulses.
Update = Callable[[Device, Array, Array, Array | None], Array]


@dataclass(frozen=True)
class Weights:
    """State of a training: the weights W, and the second array P, None where a method has none."""

    w: Array
    p: Array = None


@dataclass(frozen=True)
class Method:
    """How to train.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    rate : float or array
        Of the gradient, on the array that receives it.
    transfer : float or array
        From P to W.
    mixing : float
        Of residual learning; the paper of Tiki-Taka has none.
    device, fast_device : Device
        Of W and of P, the latter as the former if left out. A digital method has none.

    Raises
    ------
    ConfigError
        If there is no such method, or something that it needs is left out.
    """

    kind: str
    rate: Any
    transfer: Any = None
    mixing: float = 0.0
    device: Device | None = None
    fast_device: Device | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"method is '{self.kind}', allowed: {', '.join(KINDS)}." + nearest(self.kind, KINDS)
            )
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
        """Whether there is a second array."""
        return self.kind in ("tiki_taka", "residual")


def begin(w: Array, method: Method) -> Weights:
    """Return the state before the first step, the second array at 0."""
    return Weights(w, 0 * w if method.has_second else None)


def point(state: Weights, method: Method) -> Array:
    """Return where the gradient is taken."""
    return state.w + method.mixing * state.p if method.mixing else state.w


def step(
    state: Weights,
    gradient: Array,
    method: Method,
    size: Array | None = None,
    column: int | None = None,
    change: Update = update,
) -> Weights:
    """Return the state after a step.

    Parameters
    ----------
    state : Weights
        Not changed.
    gradient : array
        At ``point(state, method)``; of several samples, the sum.
    method : Method
    size : array, optional
        Sum over the samples of the gradient's absolute values, if each is an update of its own, as
        on hardware; |gradient| if left out.
    column : int, optional
        Hardware reads one column of P at a time: transfer that one only, of matrices (rows out,
        columns in).
    change : callable, optional
        What moves conductances; increments that are not rounded to pulses if left out.
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
    # A copy by addition serves arrays and tensors alike.
    w = w + 0
    moved = -sign * method.transfer * p[:, column]
    w[:, column] = change(method.device, w[:, column], moved, None)
    return Weights(w, p)
