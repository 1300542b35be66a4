"""The observations of sites: files that hold different things, and systems simulated anew."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.methods.federated import use
from popinv.methods.sites import site_laws
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.limits import Limits
from popinv.population.noise.terms import Noise, Size, replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.seeds import standard_normal_rows


def site(count: int, width: int, first: float, **more: object) -> xr.Dataset:
    y = first + np.arange(count * width, dtype=float).reshape(count, width)
    limits = (("system", "observation"), np.full((count, width), 0.5))
    dims = {"design": ("system", "design_name")}
    known = {name: (dims.get(name, "system"), values) for name, values in more.items()}
    return xr.Dataset({"y": (("system", "observation"), y), "censored_below": limits, **known})


def test_sites_may_lack_noise_scales_and_replicates():
    one = site(2, 2, 0.0, design=np.array([[1.0], [2.0]]))
    other = site(3, 4, 100.0, design=np.ones((3, 1)), noise_scale=np.array([0.5, 1.5, 2.0]))
    joined = use._joined([one, other])
    lost = np.nan
    np.testing.assert_array_equal(
        joined["y"], [[0, 1, lost, lost], [2, 3, lost, lost], *other["y"].values]
    )
    np.testing.assert_array_equal(joined["noise_scale"], [1.0, 1.0, 0.5, 1.5, 2.0])
    np.testing.assert_array_equal(joined["design"][:, 0], [1, 2, 1, 1, 1])
    none = -np.inf
    np.testing.assert_array_equal(
        joined["censored_below"], [[0.5, 0.5, none, none]] * 2 + [[0.5] * 4] * 3
    )
    assert "noise_scale" not in use._joined([one, one])


@pytest.mark.parametrize("replicates", [1, 2])
def test_systems_that_are_simulated_anew_keep_what_is_known_of_them(monkeypatch, replicates):
    rng = np.random.default_rng(0)
    known = Known.of_arrays(rng.uniform(1, 2, (7, 1)), rng.standard_normal((7, 1)))
    law = normal_law(["level"], covariates=["age"], effects=[("level", "age")])
    noise = replicated_noise(Noise(IsotropicNoise(2), Size("proportional")), replicates)
    scale, width = rng.uniform(0.5, 2, 7), 2 * replicates
    limits = Limits.of_arrays((7, width), lower=2.5)
    problem = Problem(
        np.zeros((7, width)),
        replicated_simulator(lambda x: x[:, :1] * x[:, 1:].expand(-1, 2), replicates),
        law,
        noise,
        np.full(4, 0.5),
        conditions=Conditions.stated((7, width), scale=scale, known=known, limits=limits),
    )
    solver = SimpleNamespace(
        solve=lambda z, stage: SimpleNamespace(observations=np.repeat(z[:, :1] * z[:, 1:], 2, 1))
    )
    alpha, gamma = np.array([2.0, np.log(0.3), 0.4]), np.array([np.log(0.2)])
    monkeypatch.setattr(use, "law_spread", lambda law, forward: np.full(3, 0.5))
    study = SimpleNamespace(
        stores={
            "population": xr.Dataset(
                {"alpha": ("law_parameter", alpha), "gamma": ("noise_parameter", gamma)}
            )
        },
        seed=5,
        asked=SimpleNamespace(shift=1.0),
        forward=SimpleNamespace(model=lambda seed: solver),
        law=SimpleNamespace(law=lambda forward: law),
    )
    found = use._simulated(study, problem, [3, 4]).data
    first = 0
    for number, (own, count) in enumerate(
        zip(site_laws(alpha, np.full(3, 0.5), 2, 1.0, 5), (3, 4), strict=True)
    ):
        rows = slice(first, first + count)
        omega = standard_normal_rows(5, f"federated/{number}/omega", 0, count, 1)[:, 0]
        age, dose = known.covariates[rows, 0].numpy(), known.design[rows, 0].numpy()
        level = own[0] + own[2] * age + np.exp(own[1]) * omega
        e = standard_normal_rows(5, f"federated/{number}/noise", 0, count, width)
        clean = np.repeat((level * dose)[:, None], width, axis=1)
        y = clean + scale[rows, None] * 0.2 * np.abs(clean) * e
        np.testing.assert_allclose(found[rows], np.maximum(y, 2.5), rtol=1e-12)
        first += count
