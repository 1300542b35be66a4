"""Each use does nothing once: no difference is found, and an error tells of wrong code.

Every test breaks a line of the code as a mistake would, and sees that the use notices it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import test_analog_deployment
import test_birch_study
import test_certified_study
import test_fedhl_federated
import test_fedhl_study
import test_instance_study
import test_sgd_study
import test_withdrawal
import torch
from linear_systems import linear_problem

from popinv.errors import InvariantError, PopinvError
from popinv.inference.conditions import Conditions
from popinv.inference.settings import DescentSettings
from popinv.methods.certificate import answer as certified_answer
from popinv.methods.certificate import descent as certified_descent
from popinv.methods.federated import channel, masks, reference, site
from popinv.methods.groups import group_tests
from popinv.methods.invariants import Invariant, held, invariant_metrics
from popinv.methods.outcome import Outcome
from popinv.methods.posterior import density
from popinv.methods.registry import METHODS
from popinv_papers.analog import accelerator, answer
from popinv_papers.bigram import entries, series
from popinv_papers.birch import solve_advice
from popinv_papers.birch import study as birch_study
from popinv_papers.birch.section import Birch
from popinv_papers.fedhl import study as fedhl_study
from popinv_papers.instance_unlearning import solves as instance_solves
from popinv_papers.instance_unlearning import study as instance_study
from popinv_papers.instance_unlearning import withdrawal as instance_withdrawal
from popinv_papers.mwgrad import descent as mwgrad_descent
from popinv_papers.mwgrad import study as mwgrad_study
from popinv_papers.sgd_dynamics import study as sgd_study


def test_a_difference_beyond_its_tolerance_is_an_error_of_the_package():
    assert held("a", "nothing trained", 1e-9, 1e-8) == Invariant("a", "nothing trained", 1e-9, 1e-8)
    for difference in (2e-8, float("nan"), float("inf")):
        with pytest.raises(InvariantError, match="nothing trained: the difference is"):
            held("a", "nothing trained", difference, 1e-8)
    # The jobs' frame prints such an error as its message alone.
    assert issubclass(InvariantError, PopinvError)


def test_invariants_are_among_the_metrics():
    outcome = Outcome({"error": 0.5}, {}, invariants=[held("a", "nothing trained", 1e-9, 1e-8)])
    assert outcome.all_metrics == {
        "error": 0.5,
        "null_invariant_a": 1e-9,
        "null_invariant_a_tolerance": 1e-8,
        "null_invariants": "nothing trained: 1e-09 (at most 1e-08)",
    }
    assert invariant_metrics([]) == {}


# --- posterior ------------------------------------------------------------------------------------


def densities(with_conditions: bool = True):
    present = np.ones((6, 5), dtype=bool)
    present[1, 2:4] = present[4, 0] = False
    conditions = Conditions(np.linspace(0.5, 2, 6), present, np.zeros(5))
    problem, estimate, _ = linear_problem(6, conditions if with_conditions else None)
    return problem, np.concatenate(estimate)


@pytest.mark.parametrize("with_conditions", [False, True])
def test_without_an_observation_a_system_is_one_of_the_population(with_conditions):
    problem, p = densities(with_conditions)
    found = density.Densities.at(problem, p).invariants(problem, p)
    assert all(one.difference < 1e-10 for one in found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        # The prior counted twice, and half of the misfit.
        (lambda misfit, squares: -0.5 * misfit - squares, "nothing observed"),
        (lambda misfit, squares: -0.25 * misfit - 0.5 * squares, "by the noise's covariance"),
    ],
)
def test_a_wrong_density_is_noticed(monkeypatch, wrong, message):
    problem, p = densities()

    def log(self, omega, systems):
        there = self.noise.rows(systems).apply(self.push_forward.rows(systems)(omega))
        misfit = ((self.whitened[systems] - there) ** 2).sum(dim=1)
        return wrong(misfit, (omega**2).sum(dim=1))

    monkeypatch.setattr(density.Densities, "_log", log)
    with pytest.raises(InvariantError, match=message):
        density.Densities.at(problem, p).invariants(problem, p)


def test_gaps_that_belong_to_another_system_are_noticed(monkeypatch):
    problem, p = densities()
    right = density.whitening

    def shifted(covariance, count, conditions):
        moved = np.roll(np.arange(count), 1)
        return right(covariance, count, conditions.of(moved))

    monkeypatch.setattr(density, "whitening", shifted)
    with pytest.raises(InvariantError):
        density.Densities.at(problem, p).invariants(problem, p)


# --- withdrawal -----------------------------------------------------------------------------------

fitted = test_withdrawal.fitted


def test_without_a_withdrawal_the_short_fit_stays(fitted):
    *_, refitter = fitted
    assert refitter.nothing_removed().difference < 1e-3


def test_a_system_that_is_always_left_out_is_noticed(fitted, monkeypatch):
    *_, refitter = fitted
    right = type(refitter)._gradient

    def without_the_first(self, rest, systems, p):
        return right(self, rest, np.append(systems, 3), p)

    monkeypatch.setattr(type(refitter), "_gradient", without_the_first)
    with pytest.raises(InvariantError, match="no system removed: shift of the answer by a short"):
        refitter.nothing_removed()


# --- certified unlearning -------------------------------------------------------------------------

populations, contributions = test_certified_study.populations, test_certified_study.contributions
learned = test_certified_study.learned


def test_without_noise_the_ends_are_means(learned):
    found = certified_answer.nothing_removed(learned, test_certified_study.GONE)
    assert [one.name for one in found] == ["nothing_removed", "removed_without_noise"]
    assert max(one.difference for one in found) < 1e-10


def test_a_descent_to_another_mean_is_noticed(learned, monkeypatch):
    right = certified_descent.iterate

    def half(parameters, batch, loss, setting, push):
        return right(parameters, batch, loss, replace(setting, rate=0.9 * setting.rate), push)

    # The shrinkage and the step have different rates.
    def uneven(parameters, batch, loss, setting, push):
        return half(parameters, batch, loss, setting, push) - 1e-3 * parameters

    monkeypatch.setattr(certified_descent, "iterate", uneven)
    with pytest.raises(InvariantError, match="no system removed"):
        certified_answer.nothing_removed(learned, test_certified_study.GONE)


def test_a_removal_of_the_wrong_system_is_noticed(learned, monkeypatch):
    right = type(learned.records).emptied
    monkeypatch.setattr(type(learned.records), "emptied", lambda self, n: right(self, n + 1))
    with pytest.raises(InvariantError, match="removed without noise"):
        certified_answer.nothing_removed(learned, test_certified_study.GONE)


# --- instance unlearning --------------------------------------------------------------------------


def forget(**changes):
    problem, estimate, _ = linear_problem(24)
    problem = replace(problem, stage="instance_unlearning")
    asked = test_instance_study.ASKED.replace(systems=5, places=2, **changes)
    return instance_study.forget_systems(problem, test_instance_study.SETTINGS, estimate, asked)


def test_without_a_system_left_out_nothing_moves():
    *_, invariant = forget()
    assert invariant.name == "nothing_removed"
    assert invariant.difference == 0


def test_a_fine_tuning_with_other_draws_is_noticed(monkeypatch):
    right = instance_withdrawal.run

    def otherwise(state, problem, *others, **options):
        # The second run of fine-tuning draws anew.
        if problem.stage.endswith("/tuning"):
            otherwise.calls += 1
            problem = replace(problem, stage=f"{problem.stage}/{otherwise.calls}")
        return right(state, problem, *others, **options)

    otherwise.calls = 0
    monkeypatch.setattr(instance_withdrawal, "run", otherwise)
    with pytest.raises(InvariantError, match="no system removed: divergence"):
        forget()


def test_a_solve_that_is_always_left_out_is_noticed(monkeypatch):
    data, settings = test_instance_study.small_training()
    assert instance_solves.nothing_withdrawn(data, settings).difference == 0
    right = instance_solves._without
    monkeypatch.setattr(
        instance_solves, "_without", lambda problem, rows: right(problem, torch.tensor([0]))
    )
    with pytest.raises(InvariantError, match="no solve withdrawn"):
        instance_solves.nothing_withdrawn(data, settings)


# --- stochastic gradient descent ------------------------------------------------------------------

quick = test_sgd_study.quick
DESCENT = DescentSettings(iterations=30, model_samples=200, directions=16, legs=1)


@pytest.fixture
def descended(quick):
    problem, truth = test_sgd_study.mirrored_problem(0.3)
    own = replace(problem, stage="descent")
    end = sgd_study.fit_distance(own, DESCENT, [truth]).estimate.p
    return problem, truth, end, np.array([0.05, 0.15, 0.1, 0.2])


def test_the_studys_own_descent_ends_at_its_answer(descended):
    problem, start, end, errors = descended
    assert sgd_study.same_descent(problem, DESCENT, start, end, errors).difference < 1e-9


def test_a_descent_with_other_settings_than_the_studys_is_noticed(descended):
    problem, start, end, errors = descended
    other = DESCENT.replace(iterations=29)
    with pytest.raises(InvariantError, match="the study's own starts and draws"):
        sgd_study.same_descent(problem, other, start, end, errors)


# --- bigram ---------------------------------------------------------------------------------------


def symbols():
    rng = np.random.default_rng(2)
    weights = 1 / np.arange(1, 21)
    return [rng.choice(20, 200, p=weights / weights.sum()) for _ in range(20)]


def test_symbols_may_have_any_names():
    found = series.invariants(symbols(), 20, 0.1, 1)
    assert [one.name for one in found] == [
        "nothing_trained",
        "symbols_renamed",
        "run_of_gradient_descent",
    ]
    assert max(one.difference for one in found) < 1e-12


def test_a_loss_that_depends_on_the_names_is_noticed(monkeypatch):
    right = series.fitted_exponent
    monkeypatch.setattr(series, "fitted_exponent", lambda counts: right(counts[:12]))
    with pytest.raises(InvariantError, match="symbols renamed"):
        series.invariants(symbols(), 20, 0.1, 1)


def test_a_wrong_loss_of_gradient_descent_is_noticed(monkeypatch):
    right = entries.relative_loss_of
    monkeypatch.setattr(
        entries, "relative_loss_of", lambda weights, squares, t: right(weights, squares, 1.01 * t)
    )
    with pytest.raises(InvariantError, match="steps of gradient descent on W"):
        series.invariants(symbols(), 20, 0.1, 1)


# --- birch ----------------------------------------------------------------------------------------

ASKED = Birch(seconds=[0.002, 0.006], message=0.001)


def test_without_a_step_no_way_to_train_changes_the_loss():
    learning = test_birch_study.learning()
    assert birch_study.nothing_trained(learning, ASKED).difference == 0


def test_a_step_that_is_taken_at_the_rate_zero_is_noticed(monkeypatch):
    monkeypatch.setattr(
        birch_study.Candidate, "steps", lambda self, rate: birch_study_steps(self, rate + 1e-2)
    )
    with pytest.raises(InvariantError, match="step size zero"):
        birch_study.nothing_trained(test_birch_study.learning(), ASKED)


birch_study_steps = birch_study.Candidate.steps


def test_machines_that_are_alike_end_at_the_bound(monkeypatch):
    assert solve_advice.alike_machines(4, 1).difference < 1e-12
    monkeypatch.setattr(solve_advice, "best_split", lambda machines, solves: [solves, 0, 0, 0])
    with pytest.raises(InvariantError, match="machines alike"):
        solve_advice.alike_machines(4, 1)


# --- mwgrad ---------------------------------------------------------------------------------------


def test_a_group_may_be_named_in_any_order():
    problem, estimate, _ = linear_problem(8)
    assert mwgrad_study.any_order(problem, estimate, [0, 3, 5]).difference < 1e-8


def test_tests_that_prefer_the_first_system_are_noticed(monkeypatch):
    problem, estimate, _ = linear_problem(8)
    right = group_tests.system_p_values

    def first_alone(scores, information):
        return right(scores, information) * np.r_[0.5, np.ones(len(scores) - 1)]

    monkeypatch.setattr(group_tests, "system_p_values", first_alone)
    with pytest.raises(InvariantError, match="systems named in reverse"):
        mwgrad_study.any_order(problem, estimate, [0, 3, 5])


def test_a_system_grouped_with_itself_gives_up_nothing(monkeypatch):
    problem, estimate, _ = linear_problem(8)
    assert mwgrad_study.same_system_twice(problem, estimate, 3, 30, 0.05).difference < 1e-8
    # Weights that do not sum to one.
    monkeypatch.setattr(mwgrad_descent, "least_norm", lambda gram: np.array([0.5, 0.4]))
    monkeypatch.setattr(mwgrad_descent, "_move", plain_move)
    with pytest.raises(InvariantError, match="grouped with itself"):
        mwgrad_study.same_system_twice(problem, estimate, 3, 30, 0.05)


def plain_move(state, velocity, settings):
    """Adam does not notice a factor on the velocity, but a plain step does."""
    return replace(state, particles=state.particles + settings.rate * velocity)


# --- analog ---------------------------------------------------------------------------------------

surrogate, on_accelerator = test_analog_deployment.surrogate, test_analog_deployment.accelerator


def nothing_changed(surrogate, on_accelerator):
    z = np.random.default_rng(0).standard_normal((50, 2))
    return answer.nothing_changed(surrogate, on_accelerator, 2, (z, z), 0.01 * np.eye(5))


@pytest.fixture(scope="module")
def placed(surrogate):
    z = np.random.default_rng(1).standard_normal((500, 2))
    return accelerator.Accelerator.of(surrogate, z, 1)


def test_devices_without_steps_answer_as_before(surrogate, placed):
    found = nothing_changed(surrogate, placed)
    assert found.difference < 1e-4
    assert found.difference < found.tolerance


@pytest.mark.parametrize(
    ("module", "name"), [(answer, "without_devices"), (answer, "with_devices")]
)
def test_weights_that_devices_change_are_noticed(surrogate, placed, monkeypatch, module, name):
    right = getattr(module, name)

    def scaled(network, *others):
        made = right(network, *others)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(1.001)
        return made

    monkeypatch.setattr(module, name, scaled)
    with pytest.raises(InvariantError, match="devices without steps"):
        nothing_changed(surrogate, placed)


def test_a_refit_of_the_exact_surrogate_stays():
    fits = test_analog_deployment.refitter("likelihood")
    assert fits.nothing_changed(test_analog_deployment.Linear()).difference < 0.05
    fits.start = fits.start + 0.2 * fits.error
    with pytest.raises(InvariantError, match="exact surrogate"):
        fits.nothing_changed(test_analog_deployment.Linear())


# --- federated ------------------------------------------------------------------------------------


def federated(secure: bool = True, **options):
    problem = test_fedhl_federated.pooled_problem(**options)
    parts = test_fedhl_federated.parts_of(problem)
    return reference.nothing_divided(
        problem,
        site.sites_of(parts, test_fedhl_federated.DRAWS),
        channel.Channel(3, secure, seed=1),
        test_fedhl_federated.START,
    )


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("irregular", [False, True])
def test_sites_sum_to_what_one_place_computes(secure, irregular):
    found = federated(secure, scales=irregular, gaps=irregular)
    assert found.difference < 1e-5
    assert found.difference < found.tolerance


def test_masks_that_do_not_cancel_are_noticed(monkeypatch):
    right = masks.masked
    monkeypatch.setattr(
        channel, "masked", lambda r, s, sites, seed, index: right(r, s, sites, seed + s, index)
    )
    with pytest.raises(InvariantError, match="observations in one place"):
        federated()


def test_a_system_that_no_site_has_is_noticed(monkeypatch):
    right = test_fedhl_federated.parts_of

    def losing_one(problem):
        parts = right(problem)
        first = next(iter(parts))
        return parts | {first: parts[first].of_systems(np.arange(39))}

    monkeypatch.setattr(test_fedhl_federated, "parts_of", losing_one)
    with pytest.raises(InvariantError, match="observations in one place"):
        federated()


# --- fedhl ----------------------------------------------------------------------------------------


def adapted():
    used = test_fedhl_study.surrogate()
    return fedhl_study.nothing_trained(used, test_fedhl_study.sites(), test_fedhl_study.ASKED, 1)


def test_without_training_every_site_has_the_error_of_the_surrogate():
    assert adapted().difference < 1e-6


def test_adapters_that_do_not_start_at_zero_are_noticed(monkeypatch):
    right = fedhl_study.fresh

    def nonzero(*args):
        start = right(*args)
        return replace(start, b=start.b + 0.1)

    monkeypatch.setattr(fedhl_study, "fresh", nonzero)
    with pytest.raises(InvariantError, match="learning rate zero"):
        adapted()


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_the_use_of_every_method_states_its_invariants(name):
    """What the workflow demands of each when it runs, seen in the source."""
    from importlib import import_module
    from inspect import getsource

    assert "invariants=" in getsource(import_module(METHODS[name].module_of(METHODS[name].use)))
