r"""Increments in stochastic pulses, as the hardware and AIHWKit make them.

A sample with inputs x and errors d requests the increments :math:`k\, d_i x_j` pulses, with
:math:`k = \text{rate}/\Delta w`. Rows and columns of the array get trains of BL slots in which
pulses are drawn with probabilities

.. math:: p_j = \frac{|x_j|}{x_{max}} \sqrt{K/\mathrm{BL}}, \quad
    q_i = \min\Bigl(\frac{|d_i|}{d_{max}} \sqrt{K/\mathrm{BL}}, 1\Bigr), \qquad
    K = k\, x_{max} d_{max}, \quad \mathrm{BL} = \lceil K \rceil,

and a device moves by a pulse where both coincide. If K is more than the longest train, BL is that,
:math:`p_j = |x_j|/x_{max}` and :math:`q_i = \min(|d_i| K/(d_{max} \mathrm{BL}), 1)`: errors are
clipped at BL/(k x_max), and inputs never are (``performUpdateManagement`` of AIHWKit 1.1.0,
rpu_pulsed_meta_parameter.cpp). So a device gets a binomial number of pulses with mean
:math:`m = \mathrm{BL}\, p_j q_i`, which is :math:`k |x_j|` times the clipped error, and variance
:math:`m - m^2/\mathrm{BL}`. Both sum over the samples as products of matrices. Here the sum of the
pulses is normal, with this mean and variance.

Arrays of soft-bounds devices are passed over in one compiled loop. The thirty operations of
:func:`.devices.pulsed_update` each read and write whole arrays when they run one after the other;
the loop takes a tenth of their time (256 x 784 devices).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popinv.store.compiled import njit
from popinv_papers.analog.devices import Counts, Device, pulsed_update


@dataclass(frozen=True)
class Trains:
    """The pulse trains of an array's increments.

    Attributes
    ----------
    per_unit : float
        k, pulses for a gradient of 1.
    longest : int
        Largest number of pulses that a sample gives a device.
    sign : int
        Direction in which a positive gradient moves the array.
    """

    per_unit: float
    longest: int
    sign: int


def sums_of_samples(
    delta: torch.Tensor, x: torch.Tensor, trains: Trains
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of clipped samples, and what their pulses' numbers add up to.

    Errors (b, n_out) and inputs (b, n_in) have a row for each sample. The second result (3, n_out,
    n_in) holds the sum of the sizes |d_i x_j|, and the sum of m^2/(k BL), without sign and with the
    increment's sign.
    """
    k, longest = trains.per_unit, trains.longest
    largest = x.abs().amax(dim=1, keepdim=True)
    strongest = k * largest * delta.abs().amax(dim=1, keepdim=True)
    slots = strongest.ceil().clamp(1, longest)
    limit = longest / (k * largest).clamp(min=torch.finfo(x.dtype).tiny)
    delta = delta.clamp(-limit, limit)
    sizes, thinned = delta.abs(), k * delta.square() / slots
    squares = x.square()
    sums = x.new_empty(3, delta.shape[1], x.shape[1])
    torch.mm(sizes.T, x.abs(), out=sums[0])
    torch.mm(thinned.T, squares, out=sums[1])
    torch.mm(trains.sign * (thinned * delta.sign()).T, squares * x.sign(), out=sums[2])
    return delta.T @ x, sums


@dataclass(frozen=True)
class Pulses:
    """Moves conductances in pulses.

    ``granularity`` is the change due to one pulse at the symmetric point, ``longest`` the largest
    number of pulses that a sample gives a device. See :func:`.devices.pulsed_update` for the cycle
    noise.
    """

    granularity: float
    draws: torch.Generator
    cycle_noise: float = 0.0
    longest: int = 31

    def __call__(
        self,
        device: Device,
        w: torch.Tensor,
        change: torch.Tensor,
        size: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the conductances after increments.

        ``size`` holds the second result of :func:`sums_of_samples` times the rate. Without it,
        every column of ``change`` (n,) or (n, columns) is a sample of its own, with an input of 1.
        """
        normal = torch.empty_like(w).normal_(generator=self.draws)
        if size is not None and device.bounds is not None:
            high, low, up, down = (a.numpy() for a in device.bounds)
            moved = pulsed_soft_bounds(
                w.numpy(),
                change.numpy(),
                size.numpy(),
                (high, low, up, down),
                normal.numpy(),
                self.granularity,
                self.cycle_noise,
            )
            return torch.from_numpy(moved)
        counts = self._of_columns(change) if size is None else self._of_samples(change, size)
        return pulsed_update(device, w, counts, self.granularity, normal, self.cycle_noise)

    def _of_samples(self, change: torch.Tensor, size: torch.Tensor) -> Counts:
        whole, squares, signed = size
        twice = 2 * self.granularity
        # Rounding may make the difference of two equal sums negative.
        up, down = ((whole + sign * change).clamp(min=0) / twice for sign in (1, -1))
        less_up, less_down = ((squares + sign * signed) / twice for sign in (1, -1))
        return Counts(up, down, (up - less_up).clamp(min=0), (down - less_down).clamp(min=0))

    def _of_columns(self, change: torch.Tensor) -> Counts:
        wished = change.abs() / self.granularity
        slots = wished.amax(dim=0, keepdim=True).ceil().clamp(1, self.longest)
        mean = wished.clamp(max=slots)
        variance = mean * (1 - mean / slots)
        up, down = (change > 0).to(mean.dtype), (change < 0).to(mean.dtype)
        return Counts(up * mean, down * mean, up * variance, down * variance)


@njit(error_model="numpy")
def _pass(w, change, size, bounds, normal, per_pulse, granularity, noise):  # type: ignore[no-untyped-def]
    whole, squares, signed = size
    high, low, gain_up, gain_down = bounds
    moved = np.empty_like(w)
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for i in range(w.size):
        # Rounding may make the difference of two equal sums negative.
        up, down = whole[i] + change[i], whole[i] - change[i]
        up = (up if up > zero else zero) * per_pulse
        down = (down if down > zero else zero) * per_pulse
        vary_up = up - (squares[i] + signed[i]) * per_pulse
        vary_down = down - (squares[i] - signed[i]) * per_pulse
        vary_up = vary_up if vary_up > zero else zero
        vary_down = vary_down if vary_down > zero else zero
        q_up = gain_up[i] * (one - w[i] / high[i])
        q_down = gain_down[i] * (one - w[i] / low[i])
        variance = vary_up * q_up * q_up + vary_down * q_down * q_down
        cycles = up * gain_up[i] * gain_up[i] + down * gain_down[i] * gain_down[i]
        spread = np.sqrt(variance + noise * noise * cycles)
        new = w[i] + granularity * (up * q_up - down * q_down + spread * normal[i])
        new = new if new < high[i] else high[i]
        moved[i] = new if new > low[i] else low[i]
    return moved


def pulsed_soft_bounds(
    w: np.ndarray,
    change: np.ndarray,
    size: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    normal: np.ndarray,
    granularity: float,
    cycle_noise: float,
) -> np.ndarray:
    """Return the conductances after increments, as :func:`.devices.pulsed_update` gives them.

    Conductances, wished increments and standard normal numbers are (rows, columns), all of one
    dtype. ``size`` is the second result of :func:`sums_of_samples` times the rate; the bounds are
    the upper and lower ones, and the gains up and down, of the shape of w.
    """
    number = w.dtype.type
    moved: np.ndarray = _pass(
        w.ravel(),
        change.ravel(),
        tuple(size.reshape(3, -1)),
        tuple(np.ascontiguousarray(a).ravel() for a in bounds),
        normal.ravel(),
        number(0.5 / granularity),
        number(granularity),
        number(cycle_noise),
    )
    return moved.reshape(w.shape)
