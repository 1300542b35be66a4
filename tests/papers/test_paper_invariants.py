"""Each use of a paper does nothing once: no difference is found, and an error tells of wrong code.

Every test breaks a line of the code as a mistake would, and sees that the use notices it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import test_analog_deployment
import test_birch_study
import test_fedhl_study
import test_instance_study
import torch
from linear_systems import linear_problem

from popinv.errors import InvariantError
from popinv_papers.analog import use
from popinv_papers.bigram import entries, series
from popinv_papers.birch import solve_sharing
from popinv_papers.birch import study as birch_study
from popinv_papers.birch.method import Birch
from popinv_papers.fedhl import use as fedhl_use
from popinv_papers.instance_unlearning import solves as instance_solves
from popinv_papers.instance_unlearning import use as instance_use
from popinv_papers.instance_unlearning import withdrawal as instance_withdrawal
from popinv_papers.mwgrad import descent as mwgrad_descent
from popinv_papers.mwgrad import study as mwgrad_study

# --- instance unlearning --------------------------------------------------------------------------


def forget(**changes):
    problem, estimate, _ = linear_problem(24)
    problem = replace(problem, stage="instance_unlearning")
    asked = test_instance_study.ASKED.replace(systems=5, places=2, **changes)
    return instance_use.forget_systems(problem, test_instance_study.SETTINGS, estimate, asked)


@pytest.mark.full
def test_without_a_system_left_out_nothing_moves():
    *_, invariant = forget()
    assert invariant.name == "nothing_removed"
    assert invariant.difference == 0


@pytest.mark.full
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
    assert solve_sharing.alike_machines(4, 1).difference < 1e-12
    monkeypatch.setattr(solve_sharing, "best_split", lambda machines, solves: [solves, 0, 0, 0])
    with pytest.raises(InvariantError, match="machines alike"):
        solve_sharing.alike_machines(4, 1)


# --- mwgrad ---------------------------------------------------------------------------------------


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

surrogate, placed = test_analog_deployment.surrogate, test_analog_deployment.accelerator


def nothing_changed(surrogate, placed):
    z = np.random.default_rng(0).standard_normal((50, 2))
    return use.nothing_changed(surrogate, placed, 2, (z, z), 0.01 * np.eye(5))


def test_devices_without_steps_answer_as_before(surrogate, placed):
    found = nothing_changed(surrogate, placed)
    assert found.difference < 1e-4
    assert found.difference < found.tolerance


@pytest.mark.parametrize(("module", "name"), [(use, "without_devices"), (use, "with_devices")])
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


# --- fedhl ----------------------------------------------------------------------------------------


def adapted():
    used = test_fedhl_study.surrogate()
    return fedhl_use.nothing_trained(used, test_fedhl_study.sites(), test_fedhl_study.ASKED, 1)


def test_without_training_every_site_has_the_error_of_the_surrogate():
    assert adapted().difference < 1e-6


def test_adapters_that_do_not_start_at_zero_are_noticed(monkeypatch):
    right = fedhl_use.fresh

    def nonzero(*args):
        start = right(*args)
        return replace(start, b=start.b + 0.1)

    monkeypatch.setattr(fedhl_use, "fresh", nonzero)
    with pytest.raises(InvariantError, match="learning rate zero"):
        adapted()
