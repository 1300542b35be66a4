r"""Privacy accountant of projected noisy SGD: guarantees from epochs, and epochs for guarantees.

Two runs of the same iterations on different data are coupled by the same noise. They stay within a
gap Z, which strong convexity shrinks by c = 1 - eta m in every iteration. Later noise hides that
gap (privacy amplification by iteration). After K epochs of n/b iterations the Rényi divergence of
order a is at most

.. math:: a A, \quad A = \frac{Z^2}{2 \eta \sigma^2} \rho, \quad \rho = c^{2 K n / b}.

Forms of the guarantee:

``paper``  rho as above for c < 1, and 1/(K n/b) for c = 1.
``exact``  rho = c^{2N} (1 - c^2)/(1 - c^{2N}), N = K n/b, with the shift divided among the
           iterations optimally. Equal to ``paper`` at N = 1, and to 1/N in the limit c = 1.
``tight``  half of ``exact``: each iteration adds noise of variance 2 eta sigma^2, for which the
           lemma gives Z^2/(4 eta sigma^2). It is sharp for quadratic losses, where all laws are
           normal.

Source: Chien, Wang, Chen and Li (arXiv 2403.17105): Lemmas 2.6, 3.3 and 3.4, Theorem 3.11,
Corollaries 3.7, 3.8, 3.10 and J.1. Their code uses ``exact`` from the second request on. ``tight``
and the closed forms for sigma and the epochs are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from popinv.errors import ConfigError, nearest
from popinv.methods import privacy

Form = Literal["paper", "exact", "tight"]
FORMS: tuple[Form, ...] = ("paper", "exact", "tight")
# A relative difference below this is rounding, and must not require one more epoch.
_ROUNDING = 1e-12
_LEAST = 1e-280


@dataclass(frozen=True)
class Setting:
    """The constants in the assumptions of the guarantee.

    Attributes
    ----------
    n, batch : int
        Numbers of records, and of records in each batch of the fixed partition; batch divides n.
    rate : float
        Learning rate eta, at most 1/L.
    strong, smooth : float
        m and L: each record's loss is m-strongly convex (convex if m is 0) and L-smooth.
    lipschitz : float
        M. Gradients of two records differ by at most 2 M at every point.
    radius : float
        Radius R of the ball on which parameters are projected; infinite without projection.
    emptied : bool
        True if a removed record leaves an empty place, whose loss is the regulariser alone. Then
        gradients differ by only M. Otherwise another record replaces it.

    Raises
    ------
    ConfigError
        If these constants give no guarantee.
    """

    n: int
    batch: int
    rate: float
    strong: float
    smooth: float
    lipschitz: float
    radius: float = math.inf
    emptied: bool = False

    def __post_init__(self) -> None:
        if self.n < 1 or self.batch < 1 or self.n % self.batch:
            raise ConfigError(
                f"{self.n} records cannot be divided into batches of {self.batch}: the number of "
                "records must be a multiple of it"
            )
        if not 0 <= self.strong <= self.smooth < math.inf or self.smooth == 0:
            raise ConfigError(
                f"strong convexity {self.strong:g} and smoothness {self.smooth:g}: must be "
                "0 <= m <= L, L positive"
            )
        if not 0 < self.rate <= (1 + _ROUNDING) / self.smooth:
            raise ConfigError(
                f"the learning rate is {self.rate:g}, must be positive and at most 1/L = "
                f"{1 / self.smooth:g}, as a gradient step may otherwise not be a contraction"
            )
        if not 0 < self.lipschitz < math.inf:
            raise ConfigError(
                f"the bound on gradients is {self.lipschitz:g}, must be positive and finite: clip "
                "the gradients"
            )
        if not self.radius > 0:
            raise ConfigError(f"the radius is {self.radius:g}, must be positive")

    @property
    def batches(self) -> int:
        """Number of iterations in an epoch, n/b."""
        return self.n // self.batch

    @property
    def contraction(self) -> float:
        """The factor c = 1 - eta m by which an iteration contracts the distance of two runs."""
        return 1 - self.rate * self.strong

    @property
    def _log_c(self) -> float:
        shrink = self.rate * self.strong
        return math.log1p(-shrink) if shrink < 1 else -math.inf

    # --- gaps -------------------------------------------------------------------------------------

    def geometric(self, epochs: float = math.inf) -> float:
        """Return (1 - c^{T n/b})/(1 - c^{n/b}), or T for c = 1: the sum over T epochs."""
        if self._log_c == 0:
            return epochs
        past = math.expm1(epochs * self.batches * self._log_c) if epochs < math.inf else -1.0
        return past / math.expm1(self.batches * self._log_c)

    def gap_of(self, counts: Sequence[int] | np.ndarray, epochs: float = math.inf) -> float:
        """Return W_inf after T epochs on different data, by batch (Lemma 3.3, Corollary J.1).

        The counts (n/b,) give the number of different records in each batch. T is infinite for the
        stationary laws.

        Raises
        ------
        ConfigError
            If the number of counts differs from the number of batches, or a count exceeds the
            batch.
        """
        given = np.asarray(counts)
        if given.shape != (self.batches,) or given.min() < 0 or given.max() > self.batch:
            raise ConfigError(
                f"records that differ must be counted for {self.batches} batches, each from 0 to "
                f"{self.batch}"
            )
        touched = np.flatnonzero(given)
        # 0 * -inf is NaN, but c^0 = 1 also for c = 0.
        later = self.batches - 1 - touched
        shrunk = np.where(later > 0, np.exp(np.maximum(later, 1) * self._log_c), 1.0)
        return self._bounded(epochs, float(shrunk @ given[touched]))

    def gap(self, epochs: float = math.inf) -> float:
        """Return the worst-case gap of one record, wherever it is; Z_B after many epochs."""
        return self._bounded(epochs, 1.0)

    def _bounded(self, epochs: float, weight: float) -> float:
        if weight == 0:
            return 0.0
        differ = self.lipschitz if self.emptied else 2 * self.lipschitz
        return min(self.geometric(epochs) * weight * self.rate * differ / self.batch, self.widest)

    @property
    def widest(self) -> float:
        """The diameter 2 R, which bounds every gap."""
        return 2 * self.radius

    def shrunk(self, gap: float, epochs: float) -> float:
        """Return c^{K n/b} times a gap: the remaining gap after K epochs on equal data."""
        return gap * (math.exp(epochs * self.batches * self._log_c) if epochs else 1.0)

    # --- guarantees -------------------------------------------------------------------------------

    def decay(self, epochs: int, form: Form = "paper") -> float:
        """Return rho of K epochs (see the module), with the factor 1/2 for ``tight``."""
        if form not in FORMS:
            raise ConfigError(
                f"form of the guarantee '{form}' is not known, allowed: {', '.join(FORMS)}."
                + nearest(form, FORMS)
            )
        if epochs < 1:
            raise ConfigError(f"{epochs} epochs give no guarantee; at least 1 is needed")
        steps = epochs * self.batches
        if self._log_c == 0:
            value = 1 / steps
        else:
            value = math.exp(2 * steps * self._log_c)
            if form != "paper":
                value *= math.expm1(2 * self._log_c) / math.expm1(2 * steps * self._log_c)
        return value / 2 if form == "tight" else value

    def coefficient(self, gap: float, sigma: float, epochs: int, form: Form = "paper") -> float:
        """Return A: after K epochs from a gap Z the divergence of order a is at most A a."""
        if not sigma > 0:
            raise ConfigError(
                f"sigma is {sigma:g}, must be positive: the guarantee rests on the noise"
            )
        return gap**2 * self.decay(epochs, form) / (2 * self.rate * sigma**2)

    def epsilon(
        self, delta: float, gap: float, sigma: float, epochs: int, form: Form = "paper"
    ) -> float:
        """Return epsilon after K epochs from a gap (Corollaries 3.7 and 3.10)."""
        return privacy.epsilon(self.coefficient(gap, sigma, epochs, form), delta)

    def sigma_for(
        self, epsilon: float, delta: float, gap: float, epochs: int, form: Form = "paper"
    ) -> float:
        """Return the smallest sigma for which K epochs from a gap give (epsilon, delta)."""
        wanted = privacy.coefficient(epsilon, delta)
        return gap * math.sqrt(self.decay(epochs, form) / (2 * self.rate * wanted))

    def epochs_for(
        self, epsilon: float, delta: float, gap: float, sigma: float, form: Form = "paper"
    ) -> int:
        """Return the smallest number of epochs that gives (epsilon, delta) from a gap."""
        wanted = privacy.coefficient(epsilon, delta)
        if gap == 0 or self.coefficient(gap, sigma, 1, form) <= wanted:
            return 1
        # The smallest K with coefficient(K) <= wanted, by the inverse of rho.
        rho = 2 * self.rate * sigma**2 * wanted / gap**2
        if form == "tight":
            rho *= 2
        if rho < _LEAST:
            raise ConfigError("epsilon or sigma is too small for double precision")
        if self._log_c == 0:
            steps = 1 / rho
        elif form == "paper":
            steps = math.log(rho) / (2 * self._log_c)
        else:
            steps = math.log1p(-math.expm1(2 * self._log_c) / rho) / (-2 * self._log_c)
        epochs = max(1, math.ceil(steps / self.batches * (1 - _ROUNDING)))
        # Rounding may give a result that is off by one at whole numbers.
        if epochs > 1 and self.coefficient(gap, sigma, epochs - 1, form) <= wanted:
            epochs -= 1
        while self.coefficient(gap, sigma, epochs, form) > wanted * (1 + _ROUNDING):
            epochs += 1
        return epochs
