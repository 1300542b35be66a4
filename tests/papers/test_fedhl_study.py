"""Sites that adapt a surrogate, on a function without a solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.errors import SolverError
from popinv.methods.sites import site_laws
from popinv.seeds import generator
from popinv.surrogate.networks import MLP
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate
from popinv_papers.fedhl import use
from popinv_papers.fedhl.lora import shapes_of
from popinv_papers.fedhl.method import FedHL

ASKED = FedHL(
    ranks=[1, 3, 6], solves=30, test_solves=20, repeats=2, rounds=4, local_steps=10, rate=1e-2
)


def surrogate() -> Surrogate:
    torch.manual_seed(0)
    network = MLP(2, 6, width=16, depth=1)
    units = Standardisation(np.zeros(2), np.ones(2), np.zeros(6), np.ones(6))
    return Surrogate(network, units, {"width": 16, "depth": 1})


def draw(alpha: np.ndarray, stage: str, count: int) -> np.ndarray:
    return alpha + 0.3 * generator(0, stage).standard_normal((count, 2))


def solve(z: np.ndarray, stage: str) -> np.ndarray:
    return np.sin(z @ np.arange(12).reshape(2, 6) / 6)


def sites() -> use.Sites:
    alphas = site_laws(np.zeros(2), np.ones(2), 3, 1.0, seed=1)
    return use.solved_sites(alphas, draw, solve, surrogate(), 30, 20)


def test_laws_of_sites_lie_at_the_distance_asked_for():
    spread = np.array([1.0, 2.0, 0.0])
    alphas = site_laws(np.ones(3), spread, 5, 1.5, seed=1)
    moved = (alphas - 1)[:, :2] / spread[:2]
    assert (alphas[:, 2] == 1).all()
    assert (np.linalg.norm(moved, axis=1) <= 1.5 + 1e-12).all()
    assert len(np.unique(alphas[:, 0])) == 5
    free = site_laws(np.zeros(2), np.ones(2), 4, 1.5, seed=1)
    np.testing.assert_allclose(np.linalg.norm(free, axis=1), 1.5)


def test_every_way_to_adapt_is_compared_at_every_site():
    used, before = surrogate(), surrogate()
    adapted, metrics = use.adapt(used, sites(), ASKED, seed=1)
    assert adapted["error"].shape == (2, 5, 3)
    assert adapted["curve"].shape == (2, 2, 5)
    every = {way: adapted["error"].sel(way=way).values for way in use.WAYS}
    error = {way: values.mean(axis=0) for way, values in every.items()}
    for way in ("alone", "flexlora", "fedhl", "pooled"):
        assert error[way].mean() < error["common"].mean()
    assert metrics["error_fedhl_mean"] == pytest.approx(error["fedhl"].mean())
    ends = adapted["curve"].sel(federated="fedhl").values[:, -1]
    np.testing.assert_allclose(ends, every["fedhl"].mean(axis=1), rtol=1e-6)
    # Without adaptation there is nothing random; otherwise repeats differ.
    assert metrics["error_common_mean_sd"] == 0
    assert all(metrics[f"error_{way}_mean_sd"] > 0 for way in ("alone", "flexlora", "fedhl"))
    gain = every["common"] - every["fedhl"]
    sure = gain.mean(axis=0) > 2 * np.abs(gain[0] - gain[1]) / 2
    assert metrics["sites_better_than_common"] == sure.sum()
    shapes = shapes_of(used.network).values()
    numbers = sum(min(rank, *shape) * sum(shape) for rank in ASKED.ranks for shape in shapes)
    assert metrics["bytes_fedhl"] == metrics["bytes_flexlora"] == 2 * 4 * 4 * numbers
    # The surrogate itself is left as it was.
    for ours, theirs in zip(used.network.parameters(), before.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.full
def test_a_site_alone_learns_from_its_own_solves_only():
    whole = sites()
    alone = use.adapt(surrogate(), whole, ASKED, seed=1)[0]["error"].sel(way="alone").values
    rows = torch.from_numpy(whole.site == 2)
    other = replace(whole, y=torch.where(rows[:, None], whole.y + 1, whole.y))
    changed = use.adapt(surrogate(), other, ASKED, seed=1)[0]["error"].sel(way="alone").values
    np.testing.assert_array_equal(changed[:, :2], alone[:, :2])
    assert (changed[:, 2] > alone[:, 2]).all()


def test_failed_solves_are_left_out_and_few_are_refused():
    def failing(share: float):
        def answers(z: np.ndarray, stage: str) -> np.ndarray:
            y = solve(z, stage)
            y[: round(share * len(y))] = np.nan
            return y

        return answers

    alphas = np.zeros((2, 2))
    sites_solved = use.solved_sites(alphas, draw, failing(0.5), surrogate(), 30, 20)
    assert sites_solved.site.tolist() == [0] * 15 + [1] * 15
    assert torch.isfinite(sites_solved.y).all()
    with pytest.raises(SolverError, match=r"Site 0: only 2 of 20 .* 'downstream.fedhl.shift'"):
        use.solved_sites(alphas, draw, failing(0.9), surrogate(), 60, 20)
