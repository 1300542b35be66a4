"""Starts that are far from the answer, and functions whose derivative is not finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiers import parameters

import popinv
from popinv.forward.tangents import linearised

TIMES = np.array([1.0, 3, 5, 7, 9, 12])
TRUE = np.log([10.0, 5.0, 1.5])


def logistic(z, times):
    return z[:, :1] / (1 + torch.exp(-(torch.as_tensor(times) - z[:, 1:2]) / z[:, 2:3]))


def observed(seed):
    rng = np.random.default_rng(seed)
    z = np.exp(TRUE + 0.2 * rng.standard_normal((40, 3)))
    clean = logistic(torch.from_numpy(z), TIMES).numpy()
    return clean + 0.3 * rng.standard_normal(clean.shape)


# The last leads to where the two times act no more and the noise explains all.
@pytest.mark.full
@parameters("away", [(-2.3, 0.6, 1.6)], full=[(0.0, 0.0, 0.0), (1.3, 4.3, 1.9), (-0.1, 2.5, 4.0)])
def test_far_starts_lead_to_the_same_answer(away):
    names = ("largest", "middle", "width")
    start = {
        name: {"mean": float(centre + by), "standard_deviation": 0.5}
        for name, centre, by in zip(names, TRUE, away, strict=True)
    }
    result = popinv.fit(
        observed(0),
        logistic,
        law={"kind": "lognormal", "start": start},
        noise="isotropic",
        times=TIMES,
        descent={"iterations": 20, "legs": 1},
        progress=False,
        tests=False,
    )
    medians = result.summary()["estimate"][[f"{name}_median" for name in names]]
    np.testing.assert_allclose(medians, np.exp(TRUE), rtol=0.15)
    assert result.metrics["noise_standard_deviation"] == pytest.approx(0.3, rel=0.2)


def test_a_derivative_that_is_not_finite_is_a_difference_quotient():
    def decaying(x):
        return 1 / (1 + torch.exp(x))

    x = torch.tensor([[0.5], [800.0], [-2.0]], dtype=torch.float64)
    value, change = linearised(decaying, x, torch.ones((1, 3, 1), dtype=torch.float64))
    s = 1 / (1 + np.exp([0.5, -2.0]))
    np.testing.assert_allclose(value[[0, 2], 0], s)
    np.testing.assert_allclose(change[0, [0, 2], 0], -s * (1 - s), rtol=1e-12)
    assert value[1] == 0
    assert change[0, 1] == 0


def test_a_value_that_is_not_finite_stays_so():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    value, change = linearised(torch.log, x, torch.ones((1, 2, 1), dtype=torch.float64))
    assert not torch.isfinite(value[0])
    assert not torch.isfinite(change[0, 0])
    assert change[0, 1, 0] == pytest.approx(1.0)
