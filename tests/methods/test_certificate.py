"""Systems removed from an answer, and their picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from linear_population import TRUTH, linear_problem
from scipy.stats import norm

from popinv.charts.saving import save
from popinv.errors import DataError
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.methods.certificate import descent
from popinv.methods.certificate.answer import (
    contributions_of,
    empirical_epsilon,
    learn_from,
    price,
    reference_and_records,
    remove_from,
)
from popinv.methods.certificate.requests import certificate, learn, relearn, remove, verify
from popinv.methods.certificate.use import _dataset, _systems, draw_forgetting
from popinv.methods.privacy import clipped
from popinv.population.noise.unstructured import FullNoise

DRAWS, GONE = 32, [7, 50]
ASKED = {"epsilon": 1.0, "epochs": 4, "rate": 0.5, "clipping": 4.0}


# --- contributions --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def populations():
    reference = replace(linear_problem(count=400, seed=11), stage="reference")
    return reference, linear_problem(count=300, seed=12)


@pytest.fixture(scope="module")
def contributions(populations):
    return contributions_of(TRUTH + 0.2, *populations, "likelihood", DRAWS)


def test_one_step_is_as_good_as_the_maximum(populations, contributions):
    records = populations[1]
    best = fit_marginal_likelihood(records, TRUTH, MarginalSettings(draws=DRAWS))
    one_step = contributions.answer(contributions.each.mean(axis=0))
    gap = np.abs(one_step - best.p) / best.standard_errors
    start = np.abs(contributions.reference - best.p) / best.standard_errors
    # A step leaves the square of the distance, which is largest for the noise.
    assert gap.max() < 0.6
    assert np.median(gap) < 0.2
    assert start.max() > 1.0
    # Those of the noise differ by more between two samples of this size.
    np.testing.assert_allclose(contributions.standard_error[:4], best.standard_errors[:4], rtol=0.3)


def test_an_answer_with_a_penalty_stays_where_the_records_are_those_of_the_reference():
    problem = replace(linear_problem(count=300, seed=11), stage="reference")
    noise = FullNoise(6, shrinkage=2.0)
    gamma = noise.from_cholesky(problem.noise.cholesky(torch.from_numpy(TRUTH[4:]))).numpy()
    start = np.concatenate([TRUTH[:4], gamma])
    problem = replace(problem, noise=noise, scale=np.full(len(start), 0.5))
    found = contributions_of(start, problem, problem, "distance", DRAWS)
    moved = found.answer(found.each.mean(axis=0)) - found.reference
    # The maximum of the penalised likelihood is found to this part of a standard error.
    assert np.abs(moved / found.standard_error).max() < 0.05


def test_contributions_have_the_size_of_their_number(contributions):
    squares = (contributions.each**2).mean(axis=0)
    # With 300 systems a mean of squares has a deviation of at least sqrt(2 / 300).
    np.testing.assert_allclose(squares, 1.0, atol=0.35)
    short = clipped(contributions.each, 2.0)
    assert np.linalg.norm(short, axis=1).max() <= 2 + 1e-12
    kept = np.linalg.norm(contributions.each, axis=1) < 2
    np.testing.assert_array_equal(short[kept], contributions.each[kept])


@pytest.mark.parametrize("estimator", ["likelihood", "distance"])
def test_a_contribution_depends_on_its_own_system_alone(populations, estimator):
    reference, records = populations
    moved = records.data.copy()
    moved[5] += 3.0
    one = contributions_of(TRUTH, reference, records, estimator, DRAWS)
    other = contributions_of(TRUTH, reference, replace(records, data=moved), estimator, DRAWS)
    others = np.arange(300) != 5
    np.testing.assert_allclose(one.each[others], other.each[others], atol=1e-12)
    assert np.linalg.norm(one.each[5] - other.each[5]) > 1
    np.testing.assert_array_equal(one.reference, other.reference)
    wanted = {"likelihood": "likelihood", "distance": "pseudo_likelihood"}[estimator]
    assert one.estimator == wanted


def aside(folds: int, count: int = 12, tested: int = 3) -> xr.Dataset:
    y = linear_problem(count=count, seed=1).data
    return xr.Dataset(
        {
            "y": (("system", "observation"), y),
            "y_heldout": (("heldout_system", "observation"), y[count - tested :]),
        },
        attrs={"folds": folds},
    )


def test_the_reference_is_of_systems_that_are_not_removed():
    whole = linear_problem(count=12, seed=1)
    reference, records, count = reference_and_records(whole, aside(1))
    assert (len(reference.data), len(records.data), count) == (3, 9, 9)
    np.testing.assert_array_equal(records.data, whole.data[:9])
    assert reference_and_records(whole, aside(0))[2] == 12
    with pytest.raises(DataError, match="at least 200 systems"):
        reference_and_records(whole, aside(5))


def test_systems_of_the_reference_cannot_be_removed():
    named = aside(1).assign_coords(system_id=("system", [f"bore_{n}" for n in range(12)]))
    assert _systems(["bore_3", "bore_0"], named, 9)[0].tolist() == [3, 0]
    assert _systems([], named, 9)[0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="bore_10 cannot be removed"):
        _systems(["bore_3", "bore_10"], named, 9)


# --- the removal ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(contributions):
    return learn_from(contributions, 1, **ASKED)


@pytest.fixture(scope="module")
def removed(learned):
    return remove_from(learned, GONE, 600, 1)


def test_the_first_removal_takes_no_more_epochs_than_allowed(learned):
    setting, goal = learned.setting, learned.goal
    more, less = learned.sigma * (1 + 1e-9), learned.sigma * 0.999
    assert setting.epochs_for(1.0, goal.delta, setting.gap(), more, goal.form) == 4
    assert setting.epochs_for(1.0, goal.delta, setting.gap(), less, goal.form) == 5


def test_answers_are_those_of_the_remaining_systems(learned, removed):
    root, left = np.sqrt(300), removed.exact_left
    each = clipped(learned.contributions.each, learned.longest)
    np.testing.assert_allclose(left, np.delete(each, GONE, axis=0).mean(axis=0))
    for way in ("sequence", "batch", "anew"):
        means = removed.means[way]
        spread = means.std(axis=0) * root
        # The mean over 600 runs; what the removed systems have left is smaller than the noise.
        assert np.abs(means.mean(axis=0) - left).max() * root < 5 * spread.max() / np.sqrt(600)
    assert np.linalg.norm(removed.means["learnt"].mean(axis=0) - removed.exact) * root < 0.05


def test_the_price_is_the_noise_that_is_found(learned, removed):
    one = remove_from(learned, [7], 600, 2)
    found = one.means["batch"].std(axis=0) * np.sqrt(300) * 299 / 300
    expected = price(learned, 1.0, one.holders["batch"].removals[0].epochs)
    np.testing.assert_allclose(found, expected, rtol=0.12)
    assert removed.holders["batch"].removals[0].epochs >= 4
    # It falls with the epochs by the contraction, and with epsilon.
    ratio = price(learned, 1.0, 9) / price(learned, 1.0, 8)
    assert ratio == pytest.approx(0.5, rel=0.01)
    assert price(learned, 0.1, 5) > price(learned, 1.0, 5) > price(learned, 10.0, 5)


def test_the_laws_are_as_close_as_the_certificate_says(learned):
    """Both laws are normal, and the Renyi divergence of order a is a gap^2 / (2 variance)."""
    gone = int(np.linalg.norm(learned.contributions.each, axis=1).argmax())
    setting, noise = learned.setting, descent.EpochNoise(learned.sigma, 1, "coupled")
    held = learn(learned.records, learned.loss, setting, noise, 60, 1)
    served = remove(held, [gone], learned.goal)
    # The same noise in both runs, whose distance is then that of the means of their laws.
    anew = relearn(served, noise)
    gap = np.linalg.norm(served.model.parameters - anew.parameters)
    removal = served.removals[0]
    shrunk = removal.gap * setting.contraction**removal.epochs
    share = np.linalg.norm(clipped(learned.contributions.each, learned.longest)[gone])
    assert gap == pytest.approx(shrunk * share / learned.longest, rel=1e-6)
    variance = 2 * setting.rate * learned.sigma**2 / (1 - setting.contraction**2)
    assert 0 < gap**2 / (2 * variance) <= removal.coefficient
    assert removal.epsilon <= 1.0


def test_certificates_follow_from_their_constants(learned, removed):
    names = [f"bore_{n}" for n in range(300)]
    for way, listed in (("sequence", [[7], [50]]), ("batch", [[7, 50]])):
        holder = removed.holders[way]
        document = certificate(holder, noise="seeded", names=names, covers="law and noise")
        verify(document)
        assert [request["records"] for request in document["requests"]] == listed
        assert document["requests"][0]["names"][0] == "bore_7"
        changed = {**document, "epochs": document["epochs"] - 1}
        with pytest.raises(DataError, match="add up"):
            verify(changed)


def test_noise_is_that_of_its_seed(learned, removed):
    again, other = (remove_from(learned, GONE, 600, seed) for seed in (1, 2))
    np.testing.assert_array_equal(again.means["batch"], removed.means["batch"])
    assert not np.array_equal(other.means["batch"], removed.means["batch"])


# --- the attack -----------------------------------------------------------------------------------


def test_an_attack_finds_what_was_not_removed_and_not_what_was(learned, removed):
    direction, delta = removed.exact - removed.exact_left, learned.goal.delta
    unseen = removed.means["anew"]
    assert empirical_epsilon(removed.means["learnt"], unseen, direction, delta) > 1.2
    for way in ("sequence", "batch"):
        assert empirical_epsilon(removed.means[way], unseen, direction, delta) <= 1.0


@pytest.mark.parametrize("gap", [0.0, 1.0, 2.5])
def test_the_attack_proves_no_more_than_is_true(gap):
    """Of normal laws at a distance, (epsilon, 0) holds on no side of the largest ratio."""
    rng = np.random.default_rng(3)
    seen, unseen = rng.normal(gap, 1.0, (4000, 1)), rng.normal(0.0, 1.0, (4000, 1))
    proved = empirical_epsilon(seen, unseen, np.array([1.0]), 0.01)
    # The best threshold t for delta = 0.01, without chance.
    t = np.linspace(-4, 6, 2001)
    hits, false = norm.sf(t - gap), norm.sf(t)
    true = max(0.0, np.log(np.maximum(hits - 0.01, 1e-12) / false).max())
    limit = np.log(np.maximum(hits - 0.01, 1e-12) / np.maximum(false, 1 / 2000)).max()
    assert proved <= true + 1e-9
    assert proved >= (0.5 * limit if gap else 0.0)


def test_a_picture_of_forgetting(populations, learned, removed, tmp_path):
    result = _dataset(populations[1], learned, removed, TRUTH, np.full(6, 0.1), 6)
    assert result["price"].shape == (3, 6)
    np.testing.assert_allclose(
        result["natural"].sel(way="exact"),
        populations[1].natural(learned.contributions.answer(removed.exact_left) + 0.1),
    )
    save(draw_forgetting(result), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
