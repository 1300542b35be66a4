"""Sites that adapt a surrogate, on a function without a solver, and the test problem's parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from popinv.downstream.claims import write_claims
from popinv.downstream.data.images import ImageSet
from popinv.downstream.fedhl import claims, figures, problem, study
from popinv.downstream.fedhl.adaptation import Images, accuracy, chosen_images, pretrained
from popinv.downstream.fedhl.lora import ModuleLoss, shapes_of
from popinv.downstream.fedhl.section import FedHL
from popinv.downstream.metrics import write_metrics
from popinv.downstream.sites import site_laws
from popinv.errors import ConfigError, SolverError
from popinv.figures.style import save
from popinv.seeds import generator
from popinv.store import storage
from popinv.surrogate.networks import MLP, Surrogate, build_network
from popinv.surrogate.standardisation import Standardisation

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


def sites() -> study.Sites:
    alphas = site_laws(np.zeros(2), np.ones(2), 3, 1.0, seed=1)
    return study.solved_sites(alphas, draw, solve, surrogate(), 30, 20)


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
    adapted, metrics = study.adapt(used, sites(), ASKED, seed=1)
    assert adapted["error"].shape == (2, 5, 3)
    assert adapted["curve"].shape == (2, 2, 5)
    every = {way: adapted["error"].sel(way=way).values for way in study.WAYS}
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


def test_a_site_alone_learns_from_its_own_solves_only():
    whole = sites()
    alone = study.adapt(surrogate(), whole, ASKED, seed=1)[0]["error"].sel(way="alone").values
    rows = torch.from_numpy(whole.site == 2)
    other = replace(whole, y=torch.where(rows[:, None], whole.y + 1, whole.y))
    changed = study.adapt(surrogate(), other, ASKED, seed=1)[0]["error"].sel(way="alone").values
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
    sites_solved = study.solved_sites(alphas, draw, failing(0.5), surrogate(), 30, 20)
    assert sites_solved.site.tolist() == [0] * 15 + [1] * 15
    assert torch.isfinite(sites_solved.y).all()
    with pytest.raises(SolverError, match=r"Site 0: only 2 of 20 .* 'downstream.fedhl.shift'"):
        study.solved_sites(alphas, draw, failing(0.9), surrogate(), 60, 20)


def test_a_fourier_network_is_adapted_too():
    evaluation = np.random.default_rng(0).standard_normal((16, 3))
    options = {"kind": "fno", "grid_shape": [16], "width": 4, "modes": 3, "layers": 1}
    network = build_network(options, 3, 5, {"evaluation": evaluation})
    loss = ModuleLoss(network, torch.nn.functional.mse_loss)
    increments = {name: torch.zeros(2, *shape) for name, shape in shapes_of(network).items()}
    x, y = torch.randn(2, 7, 3), torch.randn(2, 7, 5)
    gradients = loss.gradients(increments, x, y)
    for i in range(2):
        one = loss.gradient({name: w[i] for name, w in increments.items()}, x[i], y[i])
        for name, gradient in one.items():
            torch.testing.assert_close(gradients[name][i], gradient, rtol=1e-3, atol=1e-6)


# --- the test problem ----------------------------------------------------------------------------

TINY = problem.Size((10, 100), 200, 40, 12, 5, 2, 2, 5, 4, (1, 2))


def images(seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(300, dtype=np.uint8) % 10
    pixels = np.clip(
        20 * labels[:, None, None] + rng.integers(0, 50, (300, 28, 28)), 0, 255
    ).astype(np.uint8)
    return ImageSet(pixels, labels, pixels[:80], labels[:80])


def test_images_are_averaged_and_labelled():
    image_set = chosen_images(images(0), 300, 80, 1, "test")
    assert image_set.x.shape == (300, 196)
    order = np.argsort(image_set.labels.numpy(), kind="stable")
    # The brightness of a class is 20 of 255 above that of the class before it.
    means = image_set.x.mean(dim=1).numpy()[order].reshape(10, 30).mean(axis=1)
    np.testing.assert_allclose(np.diff(means), 20 / 255, atol=0.01)


def test_the_network_learns_what_it_is_pretrained_on():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 10, 400))
    x = torch.nn.functional.one_hot(labels, 10).float() + 0.1 * torch.randn(400, 10)
    data = Images(x, labels, x, labels)
    net = pretrained(data, 16, 150, 1)
    assert accuracy(net, {}, data) > 0.9


@pytest.fixture(scope="module")
def result() -> xr.Dataset:
    ones = [problem.adaptation(images(1), images(2), TINY, seed) for seed in (1, 2, 3, 4, 5)]
    pilot = problem.adaptation(images(1), problem.held_back(images(2)), TINY, 6)
    seeds = list(problem.seeds_of(TINY, 1))
    assert seeds == [one.seed for one in ones]
    return problem.merged(
        problem.grid(pilot, ones, TINY),
        problem.regressions(TINY, seeds),
        problem.rates(TINY, seeds),
    )


def test_all_parts_of_the_test_problem_end_in_metrics_claims_and_figures(result, tmp_path):
    storage.save(result, tmp_path / "result.zarr.zip", config={}, seed=1, created_by="test")
    for draw_figure in (figures.draw_accuracy, figures.draw_losses):
        save(draw_figure(result), tmp_path / "figure.png")
    numbers = claims.metrics(result)
    write_claims(claims.claims(result), tmp_path / "claims.csv")
    write_metrics(numbers, tmp_path / "metrics.json")
    values = result["accuracy"].sel(clients=100, concentration=0.5, rule="fedhl").isel(round=-1)
    assert numbers["accuracy_100_clients_0.5_fedhl"] == pytest.approx(float(values.mean()))
    # The stack goes to all, so that its bytes grow with the clients; the others' do not.
    many, few = (numbers[f"bytes_{k}_clients_0.5_flora"] for k in (100, 10))
    assert many > 5 * few
    table = claims.claims(result)
    assert {row.part for row in table} == {"headline", "reconstruction"}
    assert all(row.found is not None and np.isfinite(row.found.mean) for row in table)


def statuses(result: xr.Dataset) -> dict[str, str]:
    return {row.claim[:30]: row.status for row in claims.claims(result)}


def with_accuracy(result: xr.Dataset, **by_rule: float) -> xr.Dataset:
    changed = result.copy(deep=True)
    for rule, value in by_rule.items():
        changed["accuracy"].loc[{"rule": rule}] = value
    return changed


def test_a_lead_is_over_the_best_of_the_others(result):
    key = "FedHL is more accurate than th"
    equal = dict.fromkeys(("hetlora", "flora", "equal", "fedhl_relative"), 0.6)
    equal["flexlora"] = 0.59
    assert statuses(with_accuracy(result, **equal, fedhl=0.62))[key] == "holds"
    behind = equal | {"flora": 0.63}
    assert statuses(with_accuracy(result, **behind, fedhl=0.62))[key] == "does not hold"
    # FlexLoRA leads the others too: the measurement cannot tell what FedHL adds.
    told = equal | {"flexlora": 0.61}
    assert statuses(with_accuracy(result, **told, fedhl=0.62))[key] == "not comparable"


def test_each_rule_gets_the_rate_that_is_best_for_the_pilot(result):
    tried = result["pilot_accuracy"].sel(clients=10, concentration=0.5, rule="flora")
    best = float(tried["learning_rate"][int(np.argmax(tried.values))])
    assert claims.metrics(result)["learning_rate_10_clients_0.5_flora"] == best
    one = problem.adaptation(images(1), images(2), TINY, 3)
    record = problem._adapted(one, (10, 0.5, "flora"), best, TINY)
    found = result["accuracy"].sel(clients=10, concentration=0.5, rule="flora", seed=3)
    np.testing.assert_array_equal(found, record["accuracy"])
    with pytest.raises(ConfigError, match="the pilot has the seed 3"):
        problem.grid(one, [one], TINY)


def test_the_pilot_sees_no_test_image():
    whole, kept = images(2), problem.held_back(images(2))
    np.testing.assert_array_equal(np.concatenate([kept.train, kept.test]), whole.train)
    assert len(kept.test) == 50


def test_exponents_are_those_of_a_power_law():
    horizons = np.array([4, 8, 16])
    squares = np.array([2.0, 3.0])[None, None] * (horizons**-0.7)[None, :, None]
    rate = xr.Dataset(
        {"squared_gradient": (("rate_rule", "horizon", "seed"), squares)},
        coords={"rate_rule": ["fedhl"], "horizon": horizons, "seed": [1, 2]},
    )
    exponents = problem.fitted_exponents(rate)
    assert exponents.dims == ("rate_rule", "seed")
    np.testing.assert_allclose(exponents, -0.7)
