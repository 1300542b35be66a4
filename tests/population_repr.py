"""The answer of the default study as a reader of its store sees it, for docs/results.md.

    python tests/population_repr.py        # writes docs/population_repr.txt

Law, noise and sensors are those of ``config/config.yaml``, and the answer is made by the same
functions as in the workflow. In the place of the solver stands a map that costs nothing: names,
dimensions and types do not depend on it.
"""

from __future__ import annotations

import tempfile
import textwrap
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from popinv.config.loading import load_file
from popinv.config.study import Study
from popinv.inference.answer.dataset import population_dataset
from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.polish import likelihood_dataset, polish, pseudo_likelihood_dataset
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.population.laws.section import law_values
from popinv.population.model import Model
from popinv.population.observe import observations_dataset
from popinv.store import storage

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "population_repr.txt"
WIDTH = 100
# As many as in config/config.yaml.
SYSTEMS = 1000


class StandIn:
    """A smooth map from parameters (n, d_z) to observations (n, d_y), solver and surrogate."""

    differentiable = True

    def __init__(self, d_z: int, d_y: int) -> None:
        matrix = np.random.default_rng(0).standard_normal((d_z, d_y)) / np.sqrt(d_z)
        self.matrix = torch.from_numpy(matrix)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.exp(0.5 * z @ self.matrix)

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()


def default_problem(systems: int) -> tuple[Problem, np.ndarray, Study]:
    """Return the default study's problem through the stand-in, its truth and its section."""
    study = load_file(ROOT / "config" / "config.yaml").studies["porous_flow"]
    observation_layout, given = study.forward.observed(1), study.observations
    model, noise_model = study.law.law(study.forward), study.noise.noise(observation_layout)
    alpha = law_values(study.law, given.truth.law, study.forward)
    gamma = noise_model.from_natural(given.truth.noise)
    simulate, rng = StandIn(model.d_z, len(observation_layout)), np.random.default_rng(1)
    count = systems + given.heldout
    omega, e = (
        torch.from_numpy(rng.standard_normal((count, d)))
        for d in (model.d_omega, len(observation_layout))
    )
    y = simulate(model.sample(torch.from_numpy(alpha), omega))
    y = (y + noise_model.sample(torch.from_numpy(gamma), e)).numpy()
    observations = observations_dataset(y, observation_layout, given.heldout)
    stated = Model(study.forward, study.law, study.noise)
    problem = descent_problem(stated, observations, simulate, 1, "assess")  # type: ignore[arg-type]
    return problem, np.concatenate([alpha, gamma]), study


def default_answer(systems: int) -> xr.Dataset:
    """Return the answer of that study."""
    problem, truth, study = default_problem(systems)
    z = torch.from_numpy(np.random.default_rng(2).standard_normal((100, problem.law.d_z)))
    fresh = FreshSolves(z.numpy(), problem.simulate(z).numpy())
    polished = polish(
        problem, PolishSettings(draws=16), [truth], fresh,
        solver=problem.simulate, seconds_per_solve=0.0, say=lambda text: None,
    )  # fmt: skip
    asked = study.descent.replace(model_samples=50, directions=8, legs=1)
    fit = fit_distance(problem, asked, [truth], progress=False)
    losses = {"loss": fit.loss, "fixed_loss": fit.fixed_loss}
    loaded = {
        "distance": estimate_dataset(problem, fit.estimate, losses=losses),
        "pseudo_likelihood": pseudo_likelihood_dataset(problem, polished),
        "likelihood": likelihood_dataset(problem, polished),
    }
    return population_dataset(problem, loaded, study.estimator)


def text(systems: int = SYSTEMS) -> str:
    """Return the answer as xarray shows its store, and the names of its attributes."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "population.zarr.zip")
        storage.save(default_answer(systems), store, config={}, seed=1, created_by="gather_answer")
        opened = xr.open_zarr(f"zip:///::{store}", consolidated=False, chunks=None)
        # A store gives its variables in no particular order.
        data, coords = (
            {name: opened[name].variable for name in sorted(map(str, variables))}
            for variables in (opened.data_vars, opened.coords)
        )
        names = ", ".join(sorted(map(str, opened.attrs)))
        with xr.set_options(display_width=WIDTH, display_max_rows=len(data)):
            shown = repr(xr.Dataset(data, coords))
    listed = textwrap.wrap(names, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([shown, "Attributes:", *listed]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
