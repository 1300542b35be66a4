"""Withdrawal of systems, against the closed form of a linear Gaussian problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import PLACES, TRUTH, linear_problem
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, spearmanr

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DataError
from popinv.inference.answer.result import estimate_dataset, parameter_names
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.methods.withdrawal.influence import answers_table, influence_of, influence_table
from popinv.methods.withdrawal.refit import Refitter, check_systems, evenly_ranked
from popinv.methods.withdrawal.use import draw_answers, draw_influence

DRAWS, COUNT = 64, 300


def closed_form(problem, start=TRUTH):
    """Return the maximum of the exact likelihood of a problem's systems, (n_p,)."""
    design = np.column_stack([np.ones(6), PLACES])

    def loss(p):
        signal = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
        noise = problem.noise.covariance(torch.from_numpy(p[4:])).numpy()
        return -multivariate_normal.logpdf(problem.data, design @ p[:2], signal + noise).sum()

    return minimize(loss, start, method="BFGS", options={"gtol": 1e-6}).x


def answered(problem, estimate, estimator):
    """Return an answer, and its influence."""
    attrs = {"estimator": estimator, "through": "surrogate"}
    answer = estimate_dataset(problem, estimate, attrs)
    return answer, influence_of(answer)


@pytest.fixture(scope="module")
def fitted():
    """Return problem, answer, influence and refitter of the likelihood; system 3 is far out."""
    problem = replace(linear_problem(count=COUNT, seed=4), stage="polish")
    data = problem.data.copy()
    data[3] += 4 * (data[3] - data.mean(axis=0))
    problem = replace(problem, data=data)
    estimate = fit_marginal_likelihood(problem, TRUTH, MarginalSettings(draws=DRAWS))
    answer, influence = answered(problem, estimate, "likelihood")
    return problem, answer, influence, Refitter(problem, answer, influence, None, DRAWS)


@pytest.fixture(scope="module")
def exact(fitted):
    """Return the closed form's shift without each of some systems, and the systems."""
    problem, _, influence, _ = fitted
    systems = evenly_ranked(influence.size(influence.shifts), 6)
    whole = closed_form(problem)
    every = np.arange(COUNT)
    shifts = [closed_form(problem.of_systems(np.delete(every, n)), whole) - whole for n in systems]
    return systems, np.array(shifts)


def test_a_short_fit_finds_the_closed_form_without_a_system(fitted, exact):
    _, _, influence, refitter = fitted
    systems, shifts = exact
    found = [refitter.without(np.array([n])) for n in systems]
    assert all(one.arrived for one in found)
    gap = influence.in_errors(np.array([one.shift for one in found]) - shifts)
    # The integrals of 64 draws leave some per cent of a shift, and the largest is of 1.5 errors.
    size = influence.size(shifts)
    assert size.max() > 0.8
    assert np.all(np.abs(gap).max(axis=1) < 0.003 + 0.04 * size)


def test_the_influence_ranks_the_shifts(fitted, exact):
    _, _, influence, _ = fitted
    systems, shifts = exact
    for i in range(shifts.shape[1]):
        assert spearmanr(influence.shifts[systems, i], shifts[:, i]).statistic > 0.95
    # A system far out is the hardest to forget, and a first-order shift falls short of its own.
    assert systems[-1] == 3
    assert influence.size(influence.shifts[3]) < influence.size(shifts[-1])


def test_a_step_is_the_first_order_answer_and_more_of_them_arrive(fitted):
    _, _, influence, refitter = fitted
    one = refitter.without(np.array([3]))
    first = influence.size(one.shift - influence.shift([3]))
    # The influence and the start of the fit are of maxima that are found up to a tolerance.
    assert one.left[1] == pytest.approx(first, abs=0.02)
    assert np.all(np.diff(one.left) < 0)


def test_several_systems_withdraw_together(fitted):
    problem, _, influence, refitter = fitted
    gone = np.array([3, 10, 20, 30])
    whole = closed_form(problem)
    rest = problem.of_systems(np.setdiff1d(np.arange(COUNT), gone))
    shift = closed_form(rest, whole) - whole
    found = refitter.without(gone).shift
    assert influence.size(found - shift) < 0.05 * influence.size(shift)
    # To first order, more is left.
    one_step = influence.size(influence.shift(gone) - shift)
    assert 0.1 * influence.size(shift) < one_step < 0.5 * influence.size(shift)


def test_predicted_steps_are_enough_and_grow_with_what_is_to_be_forgotten(fitted):
    _, _, influence, refitter = fitted
    checked = check_systems(refitter, influence, 12, 0.01)
    assert np.all(checked.steps <= checked.predicted_steps)
    assert checked.steps[-1] > checked.steps[0] >= 0
    assert np.nanmin(checked.correlation) > 0.95
    size, share = np.array([0.1, 0.1, 0.1, 3.0]), np.array([0.01, 0.1, 0.7, 0.7])
    loose, tight = (influence.steps(size, share, tolerance) for tolerance in (0.05, 0.001))
    # Step j leaves the share to the power j, which is at least 0.06: 0.06^2 < 0.01, 0.06 > 0.01.
    assert tight.tolist() == [2, 2, 5, 7]
    assert loose.tolist() == [1, 1, 2, 5]
    assert influence.steps(size, share, 5.0).tolist() == [0, 0, 0, 0]


def test_the_pseudo_likelihood_forgets_too(fitted):
    problem = fitted[0]
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    answer, influence = answered(problem, estimate, "pseudo_likelihood")
    found = Refitter(problem, answer, influence, None, DRAWS).without(np.array([3]))
    rest = problem.of_systems(np.delete(np.arange(COUNT), 3))
    again = fit_pseudo_likelihood(rest, [estimate.p])
    size = influence.size(found.shift)
    # Both maxima are found up to the tolerance of an ascent.
    assert influence.size(found.shift - (again.p - estimate.p)) < 0.03 + 0.03 * size
    assert found.arrived


@pytest.mark.full
def test_the_distance_descends_without_the_system(fitted):
    problem = replace(fitted[0], stage="descent")
    settings = DescentSettings(iterations=60, model_samples=300, directions=16)
    fit = fit_distance(problem, settings, [TRUTH], progress=False)
    answer, influence = answered(problem, fit.estimate, "distance")
    # The first-order shift without a system far out is too inaccurate to compare with.
    system = evenly_ranked(influence.size(influence.shifts), 20)[-2]
    found = Refitter(problem, answer, influence, settings, DRAWS).without(np.array([system]))
    predicted = influence.shifts[system]
    assert influence.size(found.shift - predicted) < 0.5 * influence.size(predicted)
    assert len(found.left) == 0


def test_an_answer_without_influence_is_refused(fitted):
    answer = fitted[1].copy()
    answer["influence"] = answer["influence"] * np.nan
    with pytest.raises(DataError, match="too many parameters"):
        influence_of(answer)


def test_a_parameter_that_is_held_has_no_shift(fitted):
    answer = fitted[1].copy(deep=True)
    for name in ("covariance", "bread"):
        answer[name].values[1], answer[name].values[:, 1] = 0.0, 0.0
    answer["influence"].values[:, 1] = 0.0
    influence = influence_of(answer)
    assert influence.in_errors(influence.shifts)[:, 1].tolist() == [0.0] * COUNT
    assert np.isfinite(influence.size(influence.shifts)).all()


def test_tables_have_the_natural_values_without_each_system(fitted):
    problem, answer, influence, _ = fitted
    names = parameter_names(problem)
    p = np.concatenate([answer["alpha"].values, answer["gamma"].values])
    systems = [f"bore_{n}" for n in range(COUNT)]
    table = influence_table(problem.natural, influence, p, names, systems, 0.01)
    assert table["system"].iloc[0] == "bore_3"
    first = table.iloc[0]
    without = problem.natural(p + influence.shifts[3])
    for name, value in zip(names, without, strict=True):
        assert first[f"{name} without it"] == pytest.approx(value)
    answers = {"all systems": p, "one step": p + influence.shift([3])}
    told = answers_table(problem.natural, answers, influence, names)
    np.testing.assert_allclose(told["one step"], without)
    shift = told["one step: shift [standard errors]"]
    np.testing.assert_allclose(shift, influence.in_errors(influence.shifts[3]))
    left, right = drawn(draw_influence(table, names, ["bore_3"])).axes
    assert [text.get_text() for text in left.texts].count("bore_3") >= 4
    assert len(right.lines) == 2
    (ax,) = drawn(draw_answers(told, influence.standard_error)).axes
    assert len(ax.get_yticks()) == len(names)
    nobody = answers_table(problem.natural, {"all systems": p}, influence, names)
    assert drawn(draw_answers(nobody, influence.standard_error)).axes[0].texts
