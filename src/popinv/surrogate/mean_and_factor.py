r"""A network of the mean and the covariance of a random simulator's answer.

From single solves at many parameters, the network learns mean m(z) and covariance
``C(z) = F(z) F(z)^T`` of the answer by the Gaussian log score. With measurement noise of covariance
Sigma, what counts is the density of an observation, N(m, C + Sigma). The loss of a solve y is the
expected log score of y with such noise,

.. math:: \ell = \tfrac12 \log\det V + \tfrac12 (y - m)^T V^{-1} (y - m)
    + \tfrac12 \operatorname{tr} V^{-1} \Sigma, \qquad V = C + \Sigma .

Its expectation over the answer of the simulator is smallest at the true m and C, whatever the law
of the answer and whatever Sigma (Dawid and Sebastiani, Ann. Statist. 27, 1999). Sigma bounds the
loss where an answer is not random at all. In the first round, it is a small share of the spread of
the solves. Later it is the current estimate of the noise.

At a given number of solves, repeated solves of fewer parameters gain nothing
(``docs/stochastic.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from popinv.errors import DataError
from popinv.late import torch
from popinv.population.noise.intrinsic import Factor
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate

KIND = "mean_and_factor"

# Largest square of a whitened error, for each observation, that counts as it is. Normal answers do
# not reach it about the true mean and covariance. Beyond, as at the start of a training, the loss
# is linear in the error.
_USUAL = 30.0
# Standard deviations of the noise of the loss in the first round, in units of the spread of solves.
_FIRST_NOISE = 0.05
# The least room of outputs beyond their range at the training solves, and the names under which the
# range is stored.
_LEAST_ROOM, _RANGE = 0.5, ("answer_lower", "answer_upper")


@dataclass(frozen=True)
class GaussianScore:
    """The loss of standardised answers, in units (y - mean) / scale of the solves.

    Attributes
    ----------
    factor : Factor
    noise : Tensor of shape (d, d)
        Sigma in these units.
    transformed : bool
        Whether the loss is that of the arcsinh of answers. It serves the first round, whose broad
        design may give answers of any size: the learned mean is then closer to a median.
    """

    factor: Factor
    noise: torch.Tensor
    transformed: bool = False

    @classmethod
    def of(cls, units: Standardisation, whitening: np.ndarray | None) -> GaussianScore:
        """Return the score with a whitening of the noise, or with the noise of the first round."""
        d = len(units.output_scale)
        if whitening is None:
            return cls(Factor(d), _FIRST_NOISE**2 * torch.eye(d, dtype=torch.float64), True)
        root = np.linalg.inv(whitening) / units.output_scale[:, None]
        return cls(Factor(d), torch.from_numpy(root @ root.T))

    def standardised(self, units: Standardisation, y: np.ndarray) -> np.ndarray:
        """Return solves (n, d) as the loss takes them."""
        return units.standard_outputs(y) if self.transformed else units.scaled_outputs(y)

    def __call__(self, answer: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss (n,) of solves y (n, d) for outputs (n, d + k) of the network."""
        return self._with_slopes(answer.double(), y.double())[0]

    def with_gradient(
        self, answer: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss (n,), and its gradient (n, d + k) in the outputs of the network.

        With ``q = V^{-1} (y - m)``, it is ``-q`` in m and ``(V^{-1} - q q^T - V^{-1} Sigma V^{-1})
        F`` in F.
        """
        outputs = answer.double()
        loss, natural, entries = self._with_slopes(outputs, y.double())
        slopes = _pulled_back(outputs, natural, entries, self.factor, self.transformed)
        return loss, slopes.to(answer.dtype)

    def _with_slopes(self, answer: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the loss, its gradient in mean and factor entries, and these entries."""
        mean, entries = natural_outputs(answer, self.factor, self.transformed)
        noise, factor = self.noise.to(answer.device), self.factor.matrix(entries)
        # A training that diverges has a loss that is not finite, which the training reports.
        root = torch.linalg.cholesky_ex(factor @ factor.mT + noise)[0]
        inverse = torch.cholesky_inverse(root)
        error = y - mean
        q, weighed = (inverse @ error[..., None])[..., 0], inverse @ noise
        logdet = torch.log(root.diagonal(dim1=1, dim2=2)).sum(dim=1)
        traces = weighed.diagonal(dim1=1, dim2=2).sum(dim=1)
        square, most = (q * error).sum(dim=1), _USUAL * self.factor.d
        # How many times farther than usual a solve is, 1 for nearly all.
        far = torch.sqrt(square.clamp(min=most) / most)
        misfit = torch.where(square > most, most * (2 * far - 1), square)
        of_variance = inverse - weighed @ inverse - (q / far[:, None])[:, :, None] * q[:, None]
        slopes = torch.cat([-q / far[:, None], self.factor.entries(of_variance @ factor)], dim=1)
        return logdet + 0.5 * (misfit + traces), slopes, entries


def natural_outputs(
    answer: torch.Tensor, factor: Factor, transformed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return means (..., d) and factor entries (..., k) of outputs (..., d + k) of the network.

    Both are in units (y - mean) / scale. With outputs u of the mean, v of the diagonal and w of the
    other entries, the mean is sinh u, the diagonal ``exp(v) cosh u``, and another entry the
    diagonal of its row times w. All outputs are thus of order 1 where answers differ by orders of
    magnitude. ``transformed`` gives mean and factor of the arcsinh of an answer to first order, u
    and the factor without cosh u.
    """
    d = factor.d
    of_mean, diagonal = answer[..., :d], torch.exp(answer[..., d : 2 * d])
    if not transformed:
        of_mean, diagonal = torch.sinh(of_mean), diagonal * torch.cosh(of_mean)
    others = diagonal[..., factor.places[0][d:].to(answer.device)] * answer[..., 2 * d :]
    return of_mean, torch.cat([diagonal, others], dim=-1)


def _moved(answer: torch.Tensor, change: torch.Tensor, factor: Factor) -> torch.Tensor:
    """Return the change (..., d + k) of :func:`natural_outputs` along a change of the outputs."""
    d, rows = factor.d, factor.places[0].to(answer.device)
    entries = natural_outputs(answer, factor)[1]
    of_size = change[..., d : 2 * d] + torch.tanh(answer[..., :d]) * change[..., :d]
    moved = entries * of_size[..., rows]
    others = entries[..., :d][..., rows[d:]] * change[..., 2 * d :]
    of_mean = torch.cosh(answer[..., :d]) * change[..., :d]
    return torch.cat([of_mean, moved[..., :d], moved[..., d:] + others], dim=-1)


def _pulled_back(
    answer: torch.Tensor,
    natural: torch.Tensor,
    entries: torch.Tensor,
    factor: Factor,
    transformed: bool,
) -> torch.Tensor:
    """Return the gradient (n, d + k) in the outputs of a gradient in :func:`natural_outputs`."""
    d, rows = factor.d, factor.places[0].to(answer.device)
    along = natural[:, d:] * entries
    of_size = torch.zeros_like(entries[:, :d]).index_add_(1, rows, along)
    others = natural[:, 2 * d :] * entries[:, :d][:, rows[d:]]
    of_mean = natural[:, :d]
    if not transformed:
        of_mean = torch.cosh(answer[:, :d]) * of_mean + torch.tanh(answer[:, :d]) * of_size
    return torch.cat([of_mean, of_size, others], dim=1)


@dataclass(frozen=True)
class OutputRange:
    r"""The range of the outputs of a network at its training solves, and a bound beyond it.

    An output x in [a, b] is left as it is. Beyond b it becomes ``b + c tanh((x - b) / c)``, and
    below a accordingly. This is twice continuously differentiable, and between ``a - c`` and
    ``b + c``. The room c is half of the range, and at least 0.5. Mean and factor grow exponentially
    in the outputs, so that without a bound they overflow a few deviations outside the solves.

    Parameters
    ----------
    lower, upper : ndarray of shape (d + k,)
        a and b of each output.

    Examples
    --------
    >>> import numpy as np, torch
    >>> own = OutputRange(np.array([-1.0]), np.array([3.0]))
    >>> own.bounded(torch.tensor([[2.5], [1000.0], [-1000.0]])).flatten()
    tensor([ 2.5000,  5.0000, -3.0000])
    """

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, network: Surrogate, z: np.ndarray) -> OutputRange:
        """Return the range of the outputs at training inputs z (n, d_z)."""
        with torch.no_grad():
            parts = torch.as_tensor(z, dtype=torch.float64).split(4096)
            outputs = torch.cat([network.standardised(part) for part in parts]).numpy()
        return cls(outputs.min(axis=0), outputs.max(axis=0))

    def bounded(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the bounded outputs (..., d + k)."""
        nearest, beyond, room = self._apart(outputs)
        return torch.where(beyond == 0, outputs, nearest + room * torch.tanh(beyond))

    def slope(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the derivatives (..., d + k) of the bounded outputs."""
        # 1 / cosh^2, which does not overflow.
        return 1 - torch.tanh(self._apart(outputs)[1]) ** 2

    def _apart(self, outputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the nearest value in the range, the distance from it in rooms, and the room."""
        lower, upper = (torch.from_numpy(x).to(outputs) for x in (self.lower, self.upper))
        room = ((upper - lower) / 2).clamp(min=_LEAST_ROOM)
        nearest = torch.minimum(torch.maximum(outputs.detach(), lower), upper)
        return nearest, (outputs - nearest) / room, room


@dataclass(frozen=True)
class MeanAndFactor:
    """A trained network of mean and factor in physical units.

    It maps inputs to signals (:mod:`popinv.population.noise.intrinsic`): the mean of the answer,
    then the entries of F.

    Parameters
    ----------
    inner : Surrogate
        Its network has d + k outputs, and its units belong to the d observations.
    trained : OutputRange
        The outputs at the training solves, which bound the outputs elsewhere.
    """

    inner: Surrogate
    trained: OutputRange

    @classmethod
    def of_training(cls, inner: Surrogate, z: np.ndarray) -> MeanAndFactor:
        """Return the surrogate of a network that was trained at inputs z (n, d_z)."""
        return cls(inner, OutputRange.of(inner, z))

    @property
    def network(self) -> nn.Module:
        """The network."""
        return self.inner.network

    @property
    def standardisation(self) -> Standardisation:
        """The units of inputs and observations."""
        return self.inner.standardisation

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Plain values, with the key ``kind``."""
        return {"kind": KIND, "inner": dict(self.inner.hyperparameters)}

    @property
    def factor(self) -> Factor:
        """How the entries of F stand in a row."""
        return Factor(len(self.standardisation.output_mean))

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], hyperparameters: Mapping[str, Any]
    ) -> MeanAndFactor:
        """Rebuild the surrogate from :meth:`to_arrays` and its hyperparameters."""
        d = len(arrays["output_mean"])
        outputs = d + Factor(d).size
        inner = Surrogate.from_arrays(arrays, hyperparameters["inner"], outputs)
        missing = [name for name in _RANGE if name not in arrays]
        if missing:
            raise DataError(f"the surrogate lacks the arrays {', '.join(missing)}; train it again")
        return cls(inner, OutputRange(*(np.array(arrays[name]) for name in _RANGE)))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map inputs (n, d_z) to signals (n, d + k), differentiably."""
        outputs = self.trained.bounded(self.inner.standardised(z))
        parts = natural_outputs(outputs, self.factor)
        centre, scale = self._units(z)
        return centre + scale * torch.cat(parts, dim=-1)

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return signals, and their derivatives along tangents (k, n, d_z)."""
        outputs, change = self.inner.standardised_tangents(z, tangents)
        answer, change = self.trained.bounded(outputs), self.trained.slope(outputs) * change
        centre, scale = self._units(z)
        signal = centre + scale * torch.cat(natural_outputs(answer, self.factor), dim=-1)
        return signal, scale * _moved(answer, change, self.factor)

    def in_double(self) -> MeanAndFactor:
        """Return the surrogate whose network computes in double precision."""
        return replace(self, inner=self.inner.in_double())

    def predict(self, z: np.ndarray, rows: int = 4096) -> np.ndarray:
        """Return the signals (n, d + k) of an array of inputs, without gradients."""
        with torch.no_grad():
            parts = torch.as_tensor(z, dtype=torch.float64).split(rows)
            return torch.cat([self(part) for part in parts]).numpy()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the hyperparameters."""
        bounds = zip(_RANGE, (self.trained.lower, self.trained.upper), strict=True)
        return self.inner.to_arrays() | dict(bounds)

    def _units(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return centre and scale of the entries of a signal, (d + k,) each."""
        units, factor = self.standardisation, self.factor
        rows = factor.places[0].numpy()
        centre = np.concatenate([units.output_mean, np.zeros(factor.size)])
        scale = np.concatenate([units.output_scale, units.output_scale[rows]])
        found = [torch.from_numpy(each).to(z.device, z.dtype) for each in (centre, scale)]
        return found[0], found[1]


def systematic_error(
    predicted: np.ndarray, z: np.ndarray, y: np.ndarray, noise: np.ndarray
) -> float:
    r"""Return the error of the mean that fresh solves show, in standard deviations.

    The errors ``e_i = L_i^{-1} (y_i - m(z_i))``, with ``L_i L_i^T = C(z_i) + Sigma``, have mean
    zero at every z if m is right. Those of single solves are mostly random. What is systematic is
    measured by their regression on 1, z and z^2: with s^2 the residual variance of an entry and q
    regressors, ``(|fitted|^2 - q s^2) / n`` is an unbiased estimate of its mean square.

    Parameters
    ----------
    predicted : ndarray of shape (n, d + k)
        Signals.
    z : ndarray of shape (n, d_z)
    y : ndarray of shape (n, d)
    noise : ndarray of shape (d, d)
        Sigma.

    Returns
    -------
    float
        The root of the mean square over the d entries; 0 if the estimate is negative.
    """
    factor = Factor(y.shape[1])
    signal = torch.from_numpy(predicted)
    covariance = factor.covariance(signal[:, factor.d :]).numpy() + noise
    roots = np.linalg.cholesky(covariance)
    errors = np.linalg.solve(roots, (y - predicted[:, : factor.d])[..., None])[..., 0]
    spread = z.std(axis=0)
    x = ((z - z.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
    basis = np.concatenate([np.ones((len(z), 1)), x, x**2], axis=1)
    if len(z) < 2 * basis.shape[1]:
        return float("nan")
    root = np.linalg.qr(basis)[0]
    fitted = root @ (root.T @ errors)
    count, regressors = root.shape
    random = np.square(errors - fitted).sum(axis=0) / (count - regressors)
    square = (np.square(fitted).sum(axis=0) - regressors * random) / count
    return float(np.sqrt(max(0.0, square.mean())))
