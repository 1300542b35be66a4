"""Systems of a linear model, and solves of a small network, that withdraw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from linear_systems import linear_problem
from torch.func import functional_call, jacrev

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DataError
from popinv.inference.estimators.settings import DescentSettings
from popinv.surrogate.training import TrainingData, TrainingSettings, initial_state, prepare
from popinv.surrogate.training_problem import row_losses
from popinv_papers.instance_unlearning import withdrawal
from popinv_papers.instance_unlearning.figures import draw_systems
from popinv_papers.instance_unlearning.method import InstanceUnlearning
from popinv_papers.instance_unlearning.solves import privacy_losses, row_norms, withdraw_solves
from popinv_papers.instance_unlearning.use import forget_systems, solves_metrics

ASKED = InstanceUnlearning(systems=24, withdrawn=2, places=2, noise_draws=40, steps=40, rate=0.2)
SETTINGS = DescentSettings(iterations=40, model_samples=400, directions=20, averaging=0.5)


@pytest.mark.full
def test_the_system_far_from_the_others_is_the_hardest_to_forget():
    problem, estimate, _ = linear_problem(24)
    data = problem.data.copy()
    data[7] = problem.data.mean(axis=0) + 8 * problem.data.std(axis=0)
    problem = replace(problem, data=data, stage="instance_unlearning")
    assert 7 in withdrawal.candidates(problem, 24)
    result, metrics, _ = forget_systems(problem, SETTINGS, estimate, ASKED)
    assert metrics["hardest_system"] == 7
    assert metrics["loss_largest"] > 10 * metrics["loss_median"]
    assert metrics["system_7_steps_expected"] > metrics["steps_expected_median"]
    easiest = metrics["easiest_system"]
    assert metrics["system_7_divergence_before"] > metrics[f"system_{easiest}_divergence_before"]
    assert metrics["system_7_divergence_after"] < 0.1 * metrics["system_7_divergence_before"]
    assert metrics["losses_beyond_uncertainty"] >= 1
    assert metrics["system_7_change"] > metrics[f"system_{easiest}_change"]
    assert metrics["system_7_change_left"] < 0.4 * metrics["system_7_change"]
    assert metrics["system_7_divergence_before"] > 10 * metrics["system_7_divergence_floor"]
    # Where fine-tuning leads, a new descent leads too.
    at = list(result["withdrawn"].values).index(7)
    moved = (result["forgotten"] - result["with_all"]).values[at]
    wanted = (result["rerun"] - result["with_all"]).values[at]
    assert np.linalg.norm(moved - wanted) < 0.4 * np.linalg.norm(wanted)
    assert drawn(draw_systems(result)).axes


def test_a_loss_falls_geometrically():
    epochs = withdrawal.linear_steps(np.array([0.01, 0.05, 5.0]), 0.05, 0.1)
    np.testing.assert_array_equal(epochs[:2], [0, 0])
    share = [np.mean(0.9 ** np.arange((k + 1) // 2, k + 1)) for k in (epochs[2] - 1, epochs[2])]
    assert 5.0 * share[1] ** 2 <= 0.05 < 5.0 * share[0] ** 2


def test_noise_of_iterates_and_answers_has_its_closed_form():
    shares = withdrawal.noise_shares(np.full(400, 0.1))
    # Iterates of one rate wander with the variance r/(2 - r), and their mean has that of a mean.
    assert (shares[-1] ** 2).sum() == pytest.approx(0.1 / 1.9)
    assert (shares[-300:].mean(axis=0) ** 2).sum() == pytest.approx(1 / 300, rel=0.1)
    whole = SETTINGS.replace(learning_rate=1.0, final_learning_rate=1.0)
    # Steps of rate 1 forget all: the mean of the last half of 40 independent ones.
    assert withdrawal.answer_variance(whole) == pytest.approx(1 / 20)


@pytest.mark.full
def test_what_the_draws_hide_is_as_large_as_its_floor_says():
    problem, estimate, _ = linear_problem(24)
    asked, order = ASKED.replace(steps=30, rate=0.2, order=2, epsilon=0.05), 2
    gaps, floors = [], []
    # The spread of six numbers in four draws is known to a third.
    for number in range(4):
        other = replace(problem, stage=f"withdrawal/{number}")
        descent = withdrawal.whole_descent(other, SETTINGS, estimate)
        if number == 0:
            end = np.concatenate([descent.alpha, descent.gamma])
            curvature = withdrawal.curvature_of(other, SETTINGS, descent)
            noise = np.cov(
                [withdrawal.gradient(other, SETTINGS, end, k) for k in range(60)], rowvar=False
            )
        (one,), _ = withdrawal.withdraw(
            other, SETTINGS, estimate, descent, curvature, noise, [3], asked
        )
        gaps.append(one.forgotten - one.rerun)
        floors.append(one.floor[-1])
    precision = curvature @ np.linalg.solve(noise, curvature) / withdrawal.answer_variance(SETTINGS)
    spread = order / 2 * np.trace(precision @ np.cov(gaps, rowvar=False))
    assert 0.4 < spread / np.mean(floors) < 2.5


def test_distances_and_means():
    data = np.random.default_rng(0).standard_normal((4000, 3)) * [1.0, 5.0, 0.1]
    distance = withdrawal.usual_distance(data, np.arange(4000))
    assert np.mean(distance**2) == pytest.approx(3, rel=0.01)
    path = np.array([[0.0], [2.0], [4.0], [6.0]])
    np.testing.assert_allclose(withdrawal.trailing_means(path)[:, 0], [0.0, 2.0, 3.0, 5.0])


def small_training():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((80, 2))
    y = np.stack([np.sin(z[:, 0]), z[:, 0] * z[:, 1]], axis=1)
    # Solves that nothing else tells of.
    y[:4] += 6.0
    settings = TrainingSettings(
        seed=1, hyperparameters={"width": 32, "depth": 2}, max_epochs=60,
        batch_size=16, learning_rate=1e-2, whitening=np.diag([10.0, 10.0]), relative_beyond=None,
        validation_fraction=0.0,
    )  # fmt: skip
    return TrainingData(z, y), settings


def test_norms_of_rows_are_those_of_their_gradients():
    data, settings = small_training()
    problem = prepare(data, settings)
    network = problem.network
    weights = initial_state(problem, settings).weights
    norms = row_norms(problem, weights)
    z, y, row_weights = problem.training

    def errors(parameters):
        answer = functional_call(network, parameters, (z,))
        return row_weights * row_losses(answer, y, problem.error_map)

    gradients = jacrev(errors)({name: p.detach() for name, p in network.named_parameters()})
    square = sum(g.square().flatten(1).sum(dim=1) for g in gradients.values())
    np.testing.assert_allclose(norms, square.sqrt().numpy(), rtol=1e-4)
    # A row that is far off has more to change.
    assert norms[:4].mean() > 2 * np.median(norms)
    losses = privacy_losses(np.stack([norms, norms]), 60, 16)
    np.testing.assert_array_equal(np.argsort(losses), np.argsort(norms))


def test_solves_that_stand_alone_are_the_hardest_to_forget():
    data, settings = small_training()
    withdrawals, losses, spread = withdraw_solves(data, settings, 3e-3, 4)
    assert spread > 0
    assert losses.shape == (80,)
    easiest, _, hardest = withdrawals
    assert losses[easiest.rows].mean() < losses[hardest.rows].mean()
    assert set(hardest.rows) == {0, 1, 2, 3}
    assert hardest.rerun > 2 * hardest.trained
    assert hardest.rerun - hardest.trained > 10 * (easiest.rerun - easiest.trained)
    assert hardest.reached
    assert 0 < hardest.epochs < settings.max_epochs
    assert hardest.error[-1] >= 0.95 * hardest.rerun > hardest.error[-2]
    metrics = solves_metrics(withdrawals, losses, spread, settings.max_epochs)
    assert metrics["solves_hardest_told"]
    assert not metrics["solves_easiest_told"]
    assert metrics["solves_hardest_epochs"] == hardest.epochs
    with pytest.raises(DataError, match="more than half"):
        withdraw_solves(data, settings.replace(max_epochs=1), 1e-3, 20)
