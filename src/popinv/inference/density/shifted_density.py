r"""The density of an observation whose noise has a mean, such as a discrepancy of the simulator.

With the density f of the noise about its mean b,

.. math:: p(y \mid g) = f(y \mid g + b), \qquad
    \partial_{\beta} \log p = (\partial_\beta b)^T u,

with u the slope of log f in the signal. b depends on parameters beta, which follow the parameters
of f in gamma. Noise that grows with the signal grows with g + b, which is what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from popinv.inference.density.density import AtSignal, Density, VariateField
from popinv.late import torch


@dataclass(frozen=True)
class ShiftedDensity(Density):
    """log p(y | g) of n systems, whose noise has a mean.

    Attributes
    ----------
    centred : Density
        f.
    mean : Tensor of shape (d_y,) or (n, d_y)
        b, of all systems or of each.
    derivatives : Tensor of shape (k, d_y) or (n, k, d_y)
        The derivatives of b in the parameters that follow those of f.
    """

    centred: Density
    mean: torch.Tensor
    derivatives: torch.Tensor

    @property
    def is_normal(self) -> bool:  # type: ignore[override]
        """Whether y given g is normal, with a covariance that does not depend on g."""
        return self.centred.is_normal

    @property
    def seen(self) -> torch.Tensor:
        """Number of observed entries of each system, (n,)."""
        return self.centred.seen

    def rows(self, index: torch.Tensor) -> ShiftedDensity:
        """Return the density of some of the systems, which may come up several times."""
        mean = self.mean if self.mean.ndim == 1 else self.mean[index]
        derivatives = self.derivatives if self.derivatives.ndim == 2 else self.derivatives[index]
        return ShiftedDensity(self.centred.rows(index), mean, derivatives)

    def louder(self, factor: float) -> ShiftedDensity:
        """Return the density with all deviations times a factor, without its derivatives."""
        return replace(
            self, centred=self.centred.louder(factor), derivatives=self.derivatives[..., :0, :]
        )

    def at(self, g: torch.Tensor) -> AtSignal:
        """Return the density at signals of shape (n, ..., d_y)."""
        return _ShiftedAt(self, self.centred.at(self._moved(g)))

    def weigh(self, g: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
        """Return W J for g (n, d_y) and J (n, d_y, k)."""
        return self.centred.weigh(self._moved(g), jacobian)

    def information(
        self, g: torch.Tensor, jacobian: torch.Tensor, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J^T W K for g (n, d_y), J (n, d_y, j) and K (n, d_y, k), by default J."""
        return self.centred.information(self._moved(g), jacobian, other)

    def noise_fields(
        self, g: torch.Tensor, jacobian: torch.Tensor, hessian: torch.Tensor
    ) -> Iterator[VariateField]:
        r"""Yield the control variate of each noise parameter's score, about a mode of signal g.

        Along the Jacobian, the score of a parameter of the mean changes by
        :math:`-(\partial b)^T W J \delta`, which ``a = H^{-1} J^T W (\partial b)`` cancels.
        """
        yield from self.centred.noise_fields(self._moved(g), jacobian, hessian)
        if not self.derivatives.shape[-2]:
            return
        along = self.derivatives.mT.expand(len(g), -1, -1)
        slopes = self.information(g, jacobian, along)
        constants = torch.linalg.solve(hessian, slopes)
        for constant in constants.unbind(dim=2):
            yield VariateField(constant, torch.zeros_like(hessian))

    def _moved(self, g: torch.Tensor) -> torch.Tensor:
        if self.mean.ndim == 1:
            return g + self.mean
        return g + self.mean.reshape(len(g), *[1] * (g.ndim - 2), -1)


@dataclass(frozen=True)
class _ShiftedAt(AtSignal):
    density: ShiftedDensity
    centred: AtSignal

    @property
    def log(self) -> torch.Tensor:
        return self.centred.log

    @property
    def slope(self) -> torch.Tensor:
        return self.centred.slope

    @property
    def residual(self) -> torch.Tensor:
        return self.centred.residual

    def noise_scores(self) -> Iterator[torch.Tensor]:
        yield from self.centred.noise_scores()
        derivatives = self.density.derivatives
        if not derivatives.shape[-2]:
            return
        slope = self.centred.slope
        rows = slope.reshape(len(slope), -1, slope.shape[-1])
        scores = (rows @ derivatives.mT).reshape(*slope.shape[:-1], -1)
        yield from scores.unbind(dim=-1)
