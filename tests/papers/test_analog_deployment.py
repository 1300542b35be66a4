"""The answer through a surrogate on an analog accelerator, against shifts in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save
from popinv.errors import ConfigError
from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.methods.metrics import flat
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.seeds import generator
from popinv.store import storage
from popinv.surrogate.networks import build_network
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate
from popinv_papers.analog import deployment
from popinv_papers.analog.accelerator import Accelerator
from popinv_papers.analog.deployment import Shift, SimulatorRefitter
from popinv_papers.analog.figures import draw_deployment
from popinv_papers.analog.levels import ERRORS

SYSTEMS, NOISE = 400, 0.2
MATRIX = np.array([[1.0, 0.6, -0.4, 0.8]])


class Linear:
    """y = factor z MATRIX, read with normal noise if asked."""

    def __init__(self, factor: float = 1.0, noise: float = 0.0) -> None:
        self.matrix = factor * torch.from_numpy(MATRIX)
        self.noise, self.draws = noise, torch.Generator().manual_seed(1)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        y = z @ self.matrix
        return y + self.noise * torch.empty_like(y).normal_(generator=self.draws)

    def linearise(self, z, tangents):
        return self(z), tangents @ self.matrix


def refitter(estimator: str) -> SimulatorRefitter:
    """Return the fits of a linear population, whose answer is a maximum of the estimator."""
    rng = generator(1, "test/deployment")
    z = 1.0 + 0.3 * rng.standard_normal((SYSTEMS, 1))
    data = z @ MATRIX + NOISE * rng.standard_normal((SYSTEMS, 4))
    law, noise = normal_law(["a"]), IsotropicNoise(4)
    problem = Problem(data, Linear(), law, noise, np.full(3, 0.5), seed=1, stage="polish")
    start = np.array([1.0, np.log(0.3), np.log(NOISE)])
    if estimator == "likelihood":
        estimate = fit_marginal_likelihood(problem, start, MarginalSettings(draws=64))
    else:
        estimate = fit_pseudo_likelihood(problem, [start])
    answer = estimate_dataset(problem, estimate, {"estimator": estimator})
    return SimulatorRefitter(problem, Linear(), answer, 64)


@pytest.mark.parametrize("estimator", ["likelihood", "pseudo_likelihood"])
def test_a_gain_of_the_surrogate_moves_the_law_as_its_closed_form_says(estimator):
    fits, factor = refitter(estimator), 1.03
    mean = fits.start[0]
    # With y = factor G(z), the same data follow from z / factor and the same noise.
    expected = np.array([mean / factor - mean, -np.log(factor), 0.0]) / fits.error
    shift, width = fits.shift_and_width(lambda: Linear(factor))
    assert abs(expected).max() > 1
    np.testing.assert_allclose(shift, expected, atol=0.03)
    # The standard error of the mean is that of z / factor; those of logarithms stay.
    np.testing.assert_allclose(width, [1 / factor, 1, 1], rtol=0.02)
    np.testing.assert_allclose(fits.shift(lambda: Linear()), 0, atol=0.02)


def test_read_noise_is_taken_off_the_noise():
    fits, added = refitter("pseudo_likelihood"), 0.05
    noise = np.exp(fits.start[2])
    expected = np.log(np.sqrt(noise**2 - added**2) / noise) / fits.error[2]
    shift = fits.shift(lambda: Linear(noise=added))
    assert expected < -1
    assert shift[2] == pytest.approx(expected, rel=0.05)
    assert abs(shift[:2]).max() < 0.2


def test_a_lost_refit_counts_as_infinite():
    fits = refitter("pseudo_likelihood")

    class Lost:
        def simulator(self, kind, level, draw):
            return Linear(3.0)

    one = deployment._one(fits, Lost(), "programming", 0.1, 0)
    assert np.isinf(one.shift).all()


# --- the accelerator ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    torch.manual_seed(1)
    network = build_network({"width": 16, "depth": 2}, 2, 5)
    units = Standardisation(np.zeros(2), np.ones(2), np.zeros(5), np.ones(5), np.zeros(2, bool))
    return Surrogate(network, units, {"width": 16, "depth": 2})


@pytest.fixture(scope="module")
def accelerator(surrogate) -> Accelerator:
    return Accelerator.of(surrogate, generator(1, "test/z").standard_normal((500, 2)), 1)


def departure(accelerator: Accelerator, kind: str, level: float, draw: int = 0) -> float:
    """Return the root mean square by which the surrogate's output departs."""
    z = torch.from_numpy(generator(2, "test/z").standard_normal((300, 2)))
    there = accelerator.simulator(kind, level, draw)(z).detach()
    return float((there - accelerator.surrogate(z)).square().mean().sqrt())


@pytest.mark.parametrize(
    ("kind", "level", "larger", "factor"),
    [
        ("programming", 1e-3, 1e-2, 10),
        ("read_noise", 1e-3, 1e-2, 10),
        ("converters", 12, 9, 8),
        # The exponents' spread counts times the logarithm of the time over 20 seconds.
        ("drift", 20 / 3600 * np.e**0.1, 20 / 3600 * np.e, 10),
    ],
)
def test_every_error_grows_as_its_level(accelerator, kind, level, larger, factor):
    small, large = (departure(accelerator, kind, at) for at in (level, larger))
    assert small > 0
    assert large == pytest.approx(factor * small, rel=0.3)
    again = departure(accelerator, kind, level)
    assert again == small
    if ERRORS[kind].drawn:
        assert departure(accelerator, kind, level, 1) != small


def test_drift_that_is_the_same_everywhere_is_compensated(accelerator, monkeypatch):
    monkeypatch.setattr("popinv_papers.analog.accelerator._SPREAD", 0.0)
    assert departure(accelerator, "drift", 100.0) < 1e-6


def test_read_values_have_the_derivatives_of_the_exact_surrogate(accelerator, surrogate):
    z = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    there = accelerator.simulator("converters", 8, 0)
    (slope,) = torch.autograd.grad(there(z).sum(), z)
    torch.testing.assert_close(slope, torch.autograd.grad(surrogate(z).sum(), z)[0])
    tangents = torch.ones(1, 4, 2, dtype=torch.float64)
    value, change = there.linearise(z.detach(), tangents)
    torch.testing.assert_close(value, there(z).detach())
    torch.testing.assert_close(change, surrogate.linearise(z.detach(), tangents)[1])


def test_an_unknown_error_is_refused(accelerator):
    with pytest.raises(ConfigError, match="allowed: programming, drift"):
        accelerator.simulator("heat", 1.0, 0)


# --- levels and advice ----------------------------------------------------------------------------


def made(kind: str, sizes: list[list[float]]) -> list[Shift]:
    """Return shifts of one parameter of law and one of noise, by draw and level."""
    return [
        Shift(kind, level, draw, np.array([size, -0.5 * size]), np.array([1.0, 1.1]))
        for draw, own in enumerate(sizes)
        for level, size in zip(ERRORS[kind].levels, own, strict=False)
    ]


def test_the_tolerated_level_is_interpolated():
    # 0.05 (level / 1e-4) passes 0.5 at 1e-3; 0.1 (level / 1e-4) at 5e-4.
    grid = np.array(ERRORS["programming"].levels) / 1e-4
    found = deployment.tolerated("programming", made("programming", [0.05 * grid, 0.1 * grid]))
    assert (found.lowest, found.highest) == pytest.approx((5e-4, 1e-3))
    assert found.level == pytest.approx(np.sqrt(5e-7))
    assert found.where == "within"
    # The shift of converters doubles with each bit less: 2^-14 of them leave half of it.
    bits = np.array(ERRORS["converters"].levels)
    found = deployment.tolerated("converters", made("converters", [2.0 ** (8 - bits)]))
    assert found.level == pytest.approx(9)


@pytest.mark.parametrize(
    ("sizes", "where", "level"),
    [([0.1] * 6, "above", 3e-2), ([0.7] * 6, "below", 1e-4), ([0.1, np.inf], "within", 1e-4)],
)
def test_a_level_that_is_not_reached_is_said(sizes, where, level):
    found = deployment.tolerated("programming", made("programming", [sizes]))
    assert (found.where, found.level) == (where, pytest.approx(level))


def test_numbers_and_advice_can_be_stored(tmp_path):
    shifts = [
        one
        for kind, own in ERRORS.items()
        for one in made(kind, [list(np.geomspace(0.05, 5, len(own.levels)))] * 2)
    ]
    shifts[-1] = replace(shifts[-1], shift=np.array([np.inf, np.inf]))
    numbers = flat(deployment.metrics(shifts, 1))
    assert numbers["deployed_programming_0.0001_law_shift"] == pytest.approx(0.05)
    assert numbers["deployed_programming_0.0001_noise_shift"] == pytest.approx(0.025)
    assert numbers["deployed_programming_0.0001_width"] == pytest.approx(1.1)
    assert numbers["deployed_read_noise_0.03_law_shift"] == "lost"
    assert "converters of at least 11 bits" in numbers["advice"]
    dataset = deployment.shifts_dataset(shifts, ["mean", "noise"])
    storage.save(dataset, tmp_path / "result.zarr.zip", config={}, seed=1, created_by="test")
    assert drawn(draw_deployment(shifts)).axes


def test_levels_at_which_every_refit_is_lost_are_drawn(tmp_path):
    lost, unknown = np.full(2, np.inf), np.full(2, np.nan)
    shifts = [Shift(kind, own.levels[0], 0, lost, unknown) for kind, own in ERRORS.items()]
    save(draw_deployment(shifts), tmp_path / "deployment.png")
    assert (tmp_path / "deployment.png").read_bytes().startswith(b"\x89PNG")


def test_broydens_update_explains_the_last_step():
    rng = np.random.default_rng(0)
    inverse, step, fall = np.eye(3), rng.standard_normal(3), rng.standard_normal(3)
    updated = deployment._broyden(inverse, step, fall)
    np.testing.assert_allclose(updated @ fall, step)
    # It is changed along one direction alone.
    assert np.linalg.matrix_rank(updated - inverse) == 1
    np.testing.assert_array_equal(deployment._broyden(inverse, np.zeros(3), fall), inverse)
