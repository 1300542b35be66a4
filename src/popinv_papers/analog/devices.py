"""Devices whose conductances do not move by the full wished increment.

A wished increment dw changes a conductance w to

    U(w, dw) = w + dw q_up(w)    if dw >= 0,
               w + dw q_down(w)  otherwise,

with positive responses q_up (falling in w) and q_down (rising in w). With the mean
F = (q_down + q_up)/2 and the asymmetry G = (q_down - q_up)/2 this is (arXiv 2406.12774, section 2)

    U(w, dw) = w + dw F(w) - |dw| G(w).

At the symmetric point q_up = q_down, so G = 0. All functions here work on arrays of NumPy and on
tensors, element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popinv.errors import ConfigError, require_known

# An array of NumPy or of torch.
Array = Any

# The lower bound of the named soft-bounds device, in units of its upper bound. It belongs to a
# resistive memory (w from -0.75 to 1.25).
_LOWER = 0.6
# The power and the rate of the other two.
_GAMMA = 2.0
# How much devices vary in AIHWKit: dw_min_dtod, w_max_dtod and w_min_dtod; and up_down_dtod.
_SPREAD, _IMBALANCE = 0.3, 0.01


@dataclass(frozen=True)
class Device:
    """Responses of a kind of device.

    Attributes
    ----------
    up, down : callable
        q_up and q_down, from conductances to factors of the same shape.
    low, high : float or array
        The dynamic range: q_down(low) = 0 and q_up(high) = 0.
    column : callable, optional
        From a number to the devices of that column of an array, where they differ.
    bounds : tuple of arrays, optional
        The four arguments of :func:`soft_bounds`, where these devices are such and differ.
    """

    up: Callable[[Array], Array]
    down: Callable[[Array], Array]
    low: Any
    high: Any
    column: Callable[[int], Device] | None = None
    bounds: tuple[Array, Array, Array, Array] | None = None

    def of_column(self, number: int) -> Device:
        """Return the devices of a column of the array."""
        return self if self.column is None else self.column(number)

    def mean(self, w: Array) -> Array:
        """Return F, the mean of the responses in both directions."""
        return (self.down(w) + self.up(w)) / 2

    def asymmetry(self, w: Array) -> Array:
        """Return G, positive if downward increments move further than upward ones."""
        return (self.down(w) - self.up(w)) / 2


def asymmetric_linear(reach: Any) -> Device:
    """Return q_up = 1 - w/reach, q_down = 1 + w/reach.

    F = 1 and G = w/reach, so U(w, dw) = w + dw - |dw| w / reach. The range extends from -reach to
    reach, which may be an array of the shape of w.
    """
    return Device(lambda w: 1 - w / reach, lambda w: 1 + w / reach, -reach, reach)


def soft_bounds(high: Any, low: Any, up: Any = 1.0, down: Any = 1.0) -> Device:
    """Return q_up = up (1 - w/high), q_down = down (1 - w/low), with low < 0 < high.

    With ``up`` = 1 + c and ``down`` = 1 - c the symmetric point of the range from -tau to tau
    moves from 0 to c tau.
    """
    return Device(lambda w: up * (1 - w / high), lambda w: down * (1 - w / low), low, high)


def power(reach: float) -> Device:
    """Return q_up = ((reach - w)/(2 reach))^gamma, q_down = ((w + reach)/(2 reach))^gamma.

    Beyond the range, where a whole pulse may move a conductance, the response is 0.
    """
    width = 2 * reach
    return Device(
        lambda w: ((reach - w) / width).clip(0) ** _GAMMA,
        lambda w: ((w + reach) / width).clip(0) ** _GAMMA,
        -reach,
        reach,
    )


def exponential(reach: float) -> Device:
    """Return q_up = 1 - exp(-gamma (reach - w)/(2 reach)), q_down the same of w + reach.

    Beyond the range the response is 0.
    """
    width = 2 * reach
    return Device(
        lambda w: 1 - math.e ** (-_GAMMA * ((reach - w) / width).clip(0)),
        lambda w: 1 - math.e ** (-_GAMMA * ((w + reach) / width).clip(0)),
        -reach,
        reach,
    )


def varied(
    reach: float, shape: tuple[int, int], normal: Callable[[tuple[int, int]], Array]
) -> Device:
    """Return an array of soft bounds that differ from device to device, as AIHWKit draws them.

    Bounds are +-reach (1 + spread xi), the steps up and down 1 + spread xi +- imbalance xi', all
    normal with their signs enforced (``PulsedRPUDevice::populate`` of AIHWKit 1.1.0). ``normal``
    draws standard normal numbers of a shape.
    """
    high, low = (abs(reach * (1 + _SPREAD * normal(shape))) for _ in range(2))
    gain, difference = 1 + _SPREAD * normal(shape), _IMBALANCE * normal(shape)
    bounds = high, -low, abs(gain + difference), abs(gain - difference)

    def column(number: int) -> Device:
        return soft_bounds(*(a[:, number] for a in bounds))

    return replace(soft_bounds(*bounds), column=column, bounds=bounds)


DEVICES = ("asymmetric_linear", "soft_bounds", "power", "exponential")


def device(name: str, reach: float) -> Device:
    """Return a device by name, with symmetric point 0, F(0) = 1 and upper bound ``reach``.

    The range is symmetric, except for ``soft_bounds``, whose lower end is -0.6 ``reach``. The power
    and the rate of the other devices are 2.

    Raises
    ------
    ConfigError
        If there is no such device, or the reach is not positive.
    """
    require_known(name, DEVICES, f"device is '{name}'")
    if not (reach > 0 and math.isfinite(reach)):
        raise ConfigError(f"the dynamic range of a device is {reach}, must be positive")
    if name == "asymmetric_linear":
        return asymmetric_linear(reach)
    if name == "soft_bounds":
        return soft_bounds(reach, -_LOWER * reach)
    model = (power if name == "power" else exponential)(reach)
    scale = float(model.mean(np.float64(0.0)))
    return replace(model, up=lambda w: model.up(w) / scale, down=lambda w: model.down(w) / scale)


def update(device: Device, w: Array, change: Array, size: Array | None = None) -> Array:
    """Return the conductances after increments: w + change F(w) - size G(w).

    ``change`` is the wished increment, or the sum of several simultaneous ones, and ``size`` the
    sum of their absolute values; by default |change|, as for a single increment.
    """
    size = abs(change) if size is None else size
    return w + change * device.mean(w) - size * device.asymmetry(w)


@dataclass(frozen=True)
class Counts:
    """Numbers of pulses that devices get at once: means and variances, by direction."""

    up: Array
    down: Array
    up_variance: Array
    down_variance: Array


def pulsed_update(
    device: Device,
    w: Array,
    counts: Counts,
    granularity: float,
    normal: Array,
    cycle_noise: float = 0.0,
) -> Array:
    """Return the conductances after random numbers of pulses.

    A pulse changes w by ``granularity`` (q(w) + cycle_noise q(0) xi), with a new standard normal xi
    for each: the noise from cycle to cycle does not saturate, as in AIHWKit by default. The
    granularity is the change at the symmetric point, the cycle noise its relative standard
    deviation. The sum of all pulses of one call is taken as normal, with their mean and variance at
    the w before them and with the standard normal numbers ``normal``. It ends at the bounds of the
    range.

    Raises
    ------
    ConfigError
        If the granularity is not positive.
    """
    if not granularity > 0:
        raise ConfigError(f"granularity is {granularity}, must be positive")
    up, down = device.up(w), device.down(w)
    variance = counts.up_variance * up**2 + counts.down_variance * down**2
    if cycle_noise:
        zero = 0 * w
        of_cycles = counts.up * device.up(zero) ** 2 + counts.down * device.down(zero) ** 2
        variance = variance + cycle_noise**2 * of_cycles
    moved = counts.up * up - counts.down * down + variance**0.5 * normal
    return (w + granularity * moved).clip(device.low, device.high)
