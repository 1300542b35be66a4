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
