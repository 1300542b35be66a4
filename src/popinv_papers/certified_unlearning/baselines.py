r"""Costs of two other unlearning methods for the same guarantee.

Descent to delete (Neel, Roth and Sharifi-Malvajerdi 2021) is full gradient descent with the step
2/(L + m), which contracts by gamma = (L - m)/(L + m), and noise on the published parameters.
Langevin unlearning (Chien, Wang, Chen and Li 2024) is full noisy gradient descent, with a guarantee
from a logarithmic Sobolev inequality. The formulas are as restated and applied in the paper. The
guarantee of descent to delete holds for records that are added or removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from popinv.errors import ConfigError
from popinv.methods.certificate.accountant import Setting

# Orders minus 1 of the grid on which the guarantee of Langevin unlearning is minimised, before the
# best is refined. Each request doubles the order of the request before.
_ORDERS = np.geomspace(1e-3, 1e5, 200)


@dataclass(frozen=True)
class DescentToDelete:
    """Descent to delete for m-strongly convex losses.

    Attributes
    ----------
    setting : Setting
        Its rate and batch are not used.
    dimension : int
        Dimension of the parameters.
    """

    setting: Setting
    dimension: int

    def __post_init__(self) -> None:
        if not 0 < self.setting.strong < self.setting.smooth:
            raise ConfigError("descent to delete needs strong convexity, and less than smoothness")

    @property
    def contraction(self) -> float:
        """The contraction factor gamma of a step."""
        setting = self.setting
        return (setting.smooth - setting.strong) / (setting.smooth + setting.strong)

    def sigma_secret(self, epsilon: float, delta: float, steps: int) -> float:
        """Return the noise if the state without noise is kept secret (Theorem 9)."""
        ell = math.log(1 / delta)
        root = math.sqrt(ell + epsilon) - math.sqrt(ell)
        return 4 * math.sqrt(2) * self._reached(steps) / root

    def sigma(self, epsilon: float, delta: float, steps: int) -> float:
        """Return the noise if only the published parameters are kept (Theorem 28)."""
        ell = 2 * math.log(2 / delta)
        return (
            8 * self._reached(steps) / (math.sqrt(ell + 3 * epsilon) - math.sqrt(ell + 2 * epsilon))
        )

    def _reached(self, steps: int) -> float:
        """M gamma^I / (m n (1 - gamma^I)): the effect of a removed record after I steps."""
        setting, power = self.setting, self.contraction**steps
        return setting.lipschitz * power / (setting.strong * setting.n * (1 - power))

    def steps(self, epsilon: float, delta: float, sigma: float, requests: int) -> list[int]:
        """Return the steps of each request without a secret state (Theorem 28).

        Request i takes I + log(log(4 d i/delta))/log(1/gamma) steps, with both terms rounded up.
        The noise is that of the rounded number, as in the authors' code.
        """
        ell = 2 * math.log(2 / delta)
        rate = -math.log(self.contraction)
        root = math.sqrt(ell + epsilon) - math.sqrt(ell)
        least = math.log(math.sqrt(2 * self.dimension) / ((1 - self.contraction) * root)) / rate
        steps_by_request = []
        for i in range(1, requests + 1):
            extra = math.ceil(math.log(math.log(4 * self.dimension * i / delta)) / rate)
            steps = max(1, math.ceil(least)) + extra
            while self.sigma(epsilon, delta, steps) > sigma:
                steps += 1
            steps_by_request.append(steps)
        return steps_by_request


@dataclass(frozen=True)
class Langevin:
    """Langevin unlearning with full gradients and strongly convex losses, after convergence.

    Attributes
    ----------
    setting : Setting
        Its batch is not used.
    records : int
        S, the number of records removed at each request.
    """

    setting: Setting
    records: int = 1

    def __post_init__(self) -> None:
        if not self.setting.strong > 0:
            raise ConfigError("Langevin unlearning is implemented for strongly convex losses")

    def divergence(self, order: float, sigma: float, epochs: list[int]) -> float:
        r"""Return the bound on the divergence of an order after the last of many requests.

        With E(a) = 4 a S^2 M^2/(m sigma^2 n^2), the first request leaves exp(-m eta K/a) E(a), and
        each further one

        .. math:: e^{-m \eta K_s/a} \frac{a - 1/2}{a - 1} [E(2a) + \epsilon_{s-1}(2a)].
        """
        setting = self.setting
        shrink = setting.strong * setting.rate
        scale = setting.lipschitz * self.records / (sigma * setting.n)
        unit = 4 * scale**2 / setting.strong
        orders = [order * 2**i for i in range(len(epochs))]
        value = math.exp(-shrink * epochs[0] / orders[-1]) * unit * orders[-1]
        for a, steps in zip(reversed(orders[:-1]), epochs[1:], strict=True):
            joined = (a - 0.5) / (a - 1) * (unit * 2 * a + value)
            value = math.exp(-shrink * steps / a) * joined
        return value

    def epsilon(self, delta: float, sigma: float, epochs: list[int]) -> float:
        """Return the smallest epsilon over orders, after the last request."""
        ell = math.log(1 / delta)

        def at(log_u: float) -> float:
            u = math.exp(log_u)
            return self.divergence(1 + u, sigma, epochs) + ell / u

        grid = np.log(_ORDERS)
        values = [at(x) for x in grid]
        best = int(np.argmin(values))
        ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
        minimum = minimize_scalar(at, bounds=ends, method="bounded", options={"xatol": 1e-9})
        return min(float(minimum.fun), values[best])

    def epochs(self, epsilon: float, delta: float, sigma: float, requests: int) -> list[int]:
        """Return the smallest number of epochs of each request, one after the other."""
        epochs_by_request: list[int] = []
        for _ in range(requests):
            low, high = 0, 1
            while self.epsilon(delta, sigma, [*epochs_by_request, high]) > epsilon:
                low, high = high, 2 * high
            while high - low > 1:
                middle = (low + high) // 2
                if self.epsilon(delta, sigma, [*epochs_by_request, middle]) > epsilon:
                    low = middle
                else:
                    high = middle
            epochs_by_request.append(high)
        return epochs_by_request

    def sigma_for(self, epsilon: float, delta: float, epochs: int) -> float:
        """Return the smallest noise for (epsilon, delta) after the first request."""

        def excess(log_sigma: float) -> float:
            return self.epsilon(delta, math.exp(log_sigma), [epochs]) - epsilon

        return math.exp(float(brentq(excess, math.log(1e-9), math.log(1e6), xtol=1e-10)))
