r"""A linear regression with a known optimum.

Client i observes y = W_i^* x for 100 rows x of its own, with W_i^* = W^* + D_i. W^* has rank 12 and
shape 40 x 30, and D_i is normal with a given deviation. Its loss is

.. math:: f_i(W) = \tfrac12 \operatorname{tr} (W - W_i^*) C_i (W - W_i^*)^T, \qquad
          \nabla f_i(W) = (W - W_i^*) C_i,

with C_i the second moments of its x. The mean loss has its minimum where its gradient is zero,
which is a linear system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.downstream.fedhl.clients import Local
from popinv.downstream.fedhl.federation import Federation, run
from popinv.downstream.fedhl.lora import Dense
from popinv.downstream.fedhl.server import Weighting
from popinv.seeds import generator

__all__ = ["CASES", "RANKS", "RULES", "Case", "Regression", "regression", "rows"]

RANKS = np.array([2, 2, 4, 4, 4, 6, 6, 8, 8, 12])
_M, _N, _RANK, _ROWS = 40, 30, 12, 100
_LAYER = "w"


@dataclass(frozen=True)
class Regression:
    """The clients' losses.

    Parameters
    ----------
    targets : Tensor of shape (K, m, n)
        W_i^*.
    moments : Tensor of shape (K, n, n)
        C_i.
    """

    targets: torch.Tensor
    moments: torch.Tensor

    def gradient(self, dense: Dense, clients: np.ndarray, number: int, step: int) -> Dense:
        """Return (W - W_i^*) C_i. All rows are used, in every round and step."""
        return {_LAYER: (dense[_LAYER] - self.targets[clients]) @ self.moments[clients]}

    def loss(self, w: torch.Tensor) -> float:
        """Return the clients' mean loss of W (m, n)."""
        lost = w - self.targets
        return float(0.5 * ((lost @ self.moments) * lost).sum() / len(self.targets))

    def watch(self, dense: Dense) -> dict[str, float]:
        """Return the loss to record."""
        return {"loss": self.loss(dense[_LAYER])}

    def optimum(self) -> float:
        """Return the smallest mean loss of any W."""
        right = (self.targets @ self.moments).sum(dim=0)
        return self.loss(torch.linalg.solve(self.moments.sum(dim=0), right, left=False))


def regression(deviation: float, seed: int) -> Regression:
    """Return the clients of a given heterogeneity, the deviation of D_i's entries."""
    rng = generator(seed, "fedhl/regression")
    # |W^*|_F^2 is near 40, and the largest singular value near 4.
    common = rng.standard_normal((_M, _RANK)) @ rng.standard_normal((_RANK, _N))
    own = rng.standard_normal((len(RANKS), _M, _N))
    x = rng.standard_normal((len(RANKS), _ROWS, _N))
    return Regression(
        torch.from_numpy(common / np.sqrt(_RANK * _N) + deviation * own),
        torch.from_numpy(x.swapaxes(1, 2) @ x / _ROWS),
    )


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    deviation: float
    rate: float
    steps: int


CASES = (
    Case("none", 0.0, 0.05, 20),
    Case("mild", 0.034, 0.05, 20),
    Case("mild_short", 0.034, 0.02, 5),
    Case("strong", 0.112, 0.05, 20),
)

# The columns: a method, its weights from truncation errors, and the place of its residuals.
RULES: dict[str, tuple[str, Weighting, bool]] = {
    "fedit": ("fedit", Weighting(), False),
    "hetlora": ("hetlora", Weighting(), False),
    "flexlora": ("flexlora", Weighting(), False),
    "flora": ("flora", Weighting(), False),
    "uniform": ("fedhl", Weighting(power=0), False),
    "fedhl_q1": ("fedhl", Weighting(power=1), False),
    "fedhl": ("fedhl", Weighting(), False),
    "fedhl_relative": ("fedhl", Weighting(epsilon=1.0, relative=True), False),
    "fedhl_at_client": ("fedhl", Weighting(power=0), True),
}


def rows(rounds: int, seed: int) -> Iterator[tuple[Case, str, dict[str, np.ndarray], float]]:
    """Yield case, rule, record (with ``loss``) and optimum of every entry of the table."""
    for case in CASES:
        problem = regression(case.deviation, seed)
        federation = Federation(
            "fedhl",
            {_LAYER: (_M, _N)},
            RANKS,
            np.ones(len(RANKS)),
            problem.gradient,
            Local(case.steps, case.rate),
            dtype=torch.float64,
            seed=seed,
            stage=f"fedhl/regression/{case.name}",
        )
        optimum = problem.optimum()
        for rule, (method, weighting, at_client) in RULES.items():
            chosen = replace(
                federation, method=method, weighting=weighting, residual_at_client=at_client
            )
            _, record = run(
                chosen,
                rounds,
                problem.watch,
                f"{case.name}, {rule}",
            )
            yield case, rule, record, optimum
