r"""The observations of a random simulator: intrinsic variation and measurement noise.

Two runs of a random simulator with the same parameters z differ. Its answer has a mean m(z) and a
covariance C(z), the *intrinsic variation*. An observation adds measurement noise,

.. math:: y \mid z \sim N\bigl(m(z),\; C(z) + s^2\, \Gamma(\gamma)\bigr), \qquad C = F F^T .

The *signal* of a system is m side by side with the entries of the factor F, as a
:class:`Factor` arranges them. A normal law of the answer about m(z) is an assumption, which the
tests of the answer judge. Mean, covariance and pseudo-likelihood do not depend on it.

Each replicate of a system is a run of its own: replicates share z, and neither intrinsic variation
nor measurement noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from popinv.late import torch
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.composed import ReplicatedNoise, WrappedNoise

# The largest number of observations with a factor that can give every covariance, and the number of
# shared directions for more observations.
_MOST_WHOLE, _DIRECTIONS = 10, 4


@dataclass(frozen=True)
class Factor:
    """How the entries of a factor F of a covariance (d, d) stand in a row.

    F is lower triangular for at most ten observations, and gives every covariance. For more, F is a
    diagonal beside four full columns: the covariance is diagonal but for four directions. The
    diagonal is first in the row. A sign of an entry of it has no effect on the covariance.

    Parameters
    ----------
    d : int
        Number of observations.

    Examples
    --------
    >>> import torch
    >>> Factor(2).matrix(torch.tensor([2.0, 1.0, 3.0]))
    tensor([[2., 0.],
            [3., 1.]])
    """

    d: int

    @cached_property
    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The row and the column in F of each entry, (k,) each."""
        d, diagonal = self.d, torch.arange(self.d)
        if d <= _MOST_WHOLE:
            below = torch.tril_indices(d, d, -1)
        else:
            below = torch.stack(
                [diagonal.repeat(_DIRECTIONS), d + torch.arange(_DIRECTIONS).repeat_interleave(d)]
            )
        return torch.cat([diagonal, below[0]]), torch.cat([diagonal, below[1]])

    @property
    def columns(self) -> int:
        """Number of columns of F."""
        return self.d if self.d <= _MOST_WHOLE else self.d + _DIRECTIONS

    @property
    def size(self) -> int:
        """k, the number of entries."""
        return len(self.places[0])

    def matrix(self, entries: torch.Tensor) -> torch.Tensor:
        """Return F (..., d, columns) of entries (..., k)."""
        rows, columns = self.places
        factor = entries.new_zeros((*entries.shape[:-1], self.d, self.columns))
        factor[..., rows, columns] = entries
        return factor

    def entries(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return the entries (..., k) of matrices (..., d, columns)."""
        rows, columns = self.places
        return matrix[..., rows, columns]

    def covariance(self, entries: torch.Tensor) -> torch.Tensor:
        """Return C = F F^T (..., d, d) of entries (..., k)."""
        factor = self.matrix(entries)
        return factor @ factor.mT


def rooted(covariance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Cholesky factors of matrices (..., d, d), and which have one, bool (...).

    The factor of another matrix, which has entries that are not finite or is not positive definite
    by rounding, is the unit matrix. Gradients of the other rows remain finite.
    """
    with torch.no_grad():
        finite = torch.isfinite(covariance).all(dim=-1).all(dim=-1)
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
        tried = torch.where(finite[..., None, None], covariance, eye)
        good = finite & (torch.linalg.cholesky_ex(tried)[1] == 0)
    if good.all():
        return torch.linalg.cholesky(covariance), good
    return torch.linalg.cholesky(torch.where(good[..., None, None], covariance, eye)), good


class IntrinsicNoise(WrappedNoise):
    """Intrinsic variation of a random simulator and measurement noise, about the simulator's mean.

    gamma holds the parameters of the measurement noise alone. The intrinsic variation follows from
    the signal (n, R (d + k)): for each of R replicates the mean, then the entries of the factor.

    Parameters
    ----------
    measurement : NoiseModel
        The measurement noise of all replicates.
    """

    varies = True
    random_signal = True

    def __init__(self, measurement: NoiseModel) -> None:
        super().__init__(measurement)
        self._measurement = measurement
        self.unrestricted = measurement.unrestricted
        self.factor = Factor(measurement.of_one.d_y)

    @property
    def measured(self) -> NoiseModel:
        """The measurement noise of all replicates, without intrinsic variation."""
        return self._measurement

    @property
    def is_normal(self) -> bool:
        """False: y given its signal is normal, but its covariance depends on the signal."""
        return False

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate."""
        one = self.measured.of_one
        return self if one is self.measured else IntrinsicNoise(one)

    @property
    def family(self) -> NoiseModel:
        """The family of the measurement noise."""
        return self.measured.family

    def replicated(self, count: int) -> IntrinsicNoise:
        """Return the noise of several replicates."""
        return IntrinsicNoise(ReplicatedNoise(self.measured, count))

    def apart(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means (..., R, d) and entries (..., R, k) of signals (..., R (d + k))."""
        each = signal.unflatten(-1, (-1, self.factor.d + self.factor.size))
        return each[..., : self.factor.d], each[..., self.factor.d :]

    def mean(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the mean answer (..., d_y) of signals (..., R (d + k))."""
        return self.apart(signal)[0].flatten(-2)

    def of_run(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the signals (n, d + k) of runs (n, d): a run is its own mean and varies no more.

        The noise is that of one replicate.
        """
        return torch.cat([answer, answer.new_zeros((len(answer), self.factor.size))], dim=1)

    def intrinsic_variance(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the diagonal of C (..., d_y) of signals (..., R (d + k))."""
        return self.intrinsic(signal).diagonal(dim1=-2, dim2=-1).flatten(-2)

    def intrinsic(self, signal: torch.Tensor) -> torch.Tensor:
        """Return C (..., R, d, d) of signals (..., R (d + k))."""
        return self.factor.covariance(self.apart(signal)[1])

    def loadings(self, signal: torch.Tensor) -> torch.Tensor:
        """Return vectors d_l (L, n, d_y) with sum_l d_l d_l^T = C for signals (n, R (d + k))."""
        entries = self.apart(signal)[1]
        factor, count = self.factor.matrix(entries), entries.shape[-2]
        # A replicate has columns of its own.
        whole = factor.new_zeros((len(signal), count, self.factor.d, count, self.factor.columns))
        for r in range(count):
            whole[:, r, :, r] = factor[:, r]
        return whole.flatten(3).flatten(1, 2).movedim(-1, 0)

    def sample_given(
        self,
        gamma: torch.Tensor,
        e: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to intrinsic variation and noise together, (n, d_y).

        A row has the covariance ``C / s^2 + Gamma``: times s, that of an observation. It is NaN
        where this covariance is not finite, or not positive definite by rounding.
        """
        own = self.measured.of_one.covariance(self.within(gamma))
        variation = self.intrinsic(signal)
        if scale is not None:
            variation = variation / scale[:, None, None, None] ** 2
        factor, good = rooted(variation + own)
        each = e.unflatten(-1, (-1, self.factor.d))[..., None]
        drawn = (factor @ each)[..., 0]
        return torch.where(good[..., None], drawn, torch.nan).flatten(-2)

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of C + Gamma over signals (n, R (d + k)), shape (d_y, d_y)."""
        of_replicates = self.intrinsic(signal).mean(dim=0)
        return torch.block_diag(*of_replicates) + self.covariance(gamma)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the factor of the measurement noise."""
        return self.measured.cholesky(self.within(gamma))
