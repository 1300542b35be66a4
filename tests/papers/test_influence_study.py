"""Which rows of a known map to train on, where part of them is far from the population."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn.utils import vector_to_parameters

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DataError, InvariantError
from popinv.inference.density.problem import Problem
from popinv.inference.integrate import model_moments
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare, train
from popinv_papers.influence import candidates, study, worth
from popinv_papers.influence.candidates import order_candidates, solves_saved
from popinv_papers.influence.figures import draw_study
from popinv_papers.influence.method import Influence
from popinv_papers.influence.study import Bench, Solves, select_samples
from popinv_papers.kit.training import filled

MLP = {"width": 12, "depth": 1, "dtype": "float64"}
ASKED = Influence(selected=0.2, landmarks=0.5, targets=12, steps=40, repeats=2)
SETTINGS = TrainingSettings(
    seed=1, stage="influence", hyperparameters=MLP, whitening=10 * np.eye(2), batch_size=16,
    max_epochs=8, learning_rate=3e-3,
)  # fmt: skip


def answers(z):
    return np.stack([np.sin(2 * z[:, 0]) - z[:, 1], z[:, 0] * z[:, 1]], axis=1)


def record(rounds=(80, 30, 30), fresh=40, failed=()):
    """Return solves: a broad first round, half of it far away, and the rest near one place."""
    rng = np.random.default_rng(0)
    broad = rng.standard_normal((rounds[0], 2)) + np.where(np.arange(rounds[0]) % 2, 4, 0)[:, None]
    near = 0.5 + 0.4 * rng.standard_normal((sum(rounds[1:]) + fresh, 2))
    z = np.concatenate([broad, near])
    reason = np.zeros(len(z), dtype=int)
    reason[list(failed)] = 1
    y = np.where(reason[:, None] > 0, np.nan, answers(z))
    counts = [*rounds, fresh]
    return xr.Dataset(
        {
            "z": (("sample", "parameter"), z),
            "y": (("sample", "observation"), y),
            "reason": ("sample", reason),
            "round": ("sample", np.repeat(np.arange(len(counts)), counts)),
            "solver_calls": ("round_number", counts),
        }
    )


def first_surrogate(solves):
    rows = np.flatnonzero((solves["round"].values == 0) & (solves["reason"].values == 0))
    data = TrainingData(solves["z"].values[rows], solves["y"].values[rows])
    return train(data, SETTINGS.replace(whitening=None), progress=False)[0]


# Mean and logarithms of the deviations of the law, and of the noise's.
ANSWER = np.array([0.5, 0.5, np.log(0.4), np.log(0.4), np.log(0.3)])


def observed(count=300):
    """Return the problem of a population that lies where later rounds solve."""
    rng = np.random.default_rng(1)
    y = answers(0.5 + 0.4 * rng.standard_normal((count, 2)))
    data = y + 0.3 * rng.standard_normal(y.shape)
    law, noise = normal_law(["a", "b"]), IsotropicNoise(2)
    nothing: Any = None  # every estimate goes through a surrogate of its own
    # Two observations do not determine the noise as well.
    return Problem(
        data, nothing, law, noise, np.full(5, 0.5), seed=1, stage="influence", free_noise=False
    )


@pytest.fixture(scope="module")
def solved():
    solves = record(failed=[3, 90, 150])
    return solves, first_surrogate(solves)


@pytest.mark.full
def test_influence_prefers_solves_near_the_population(solved):
    solves, surrogate = solved
    bench = Bench(Solves.of(solves, 12), surrogate, SETTINGS, ASKED)
    result, metrics = select_samples(bench, surrogate, 0.5)
    assert metrics["pool"] == 138
    assert metrics["selected"] == 28
    assert metrics["target"] == 12
    assert metrics["error_last_surrogate"] == metrics["error_before"]
    for side in ("selected", "pool"):
        assert sum(metrics[f"share_{side}_round_{i}"] for i in range(3)) == pytest.approx(1)
    assert metrics["share_selected_round_0"] < 0.75 * metrics["share_pool_round_0"]
    # The surrogate knows the broad design alone, so that there is much to learn.
    assert metrics["error_selected"] < metrics["error_random"] < metrics["error_before"]
    assert all(isinstance(value, float | int | str) for value in metrics.values())
    assert "28 of 138 solves" in metrics["statement"]
    assert len(drawn(draw_study(result)).axes) == 1
    again, _ = select_samples(bench, surrogate, 0.5)
    xr.testing.assert_identical(result, again)


@pytest.mark.full
def test_candidates_bring_the_answer_to_that_of_the_last_surrogate(solved, monkeypatch):
    monkeypatch.setattr(candidates, "_SHARES", (1 / 16, 1))
    # Few draws suffice for moments of two parameters.
    monkeypatch.setattr(worth, "_DRAWS", 300)
    monkeypatch.setattr(model_moments, "FEWEST_DRAWS", 1000)
    monkeypatch.setattr(model_moments, "_DRAWS_PER_SYSTEM", 4)
    solves, surrogate = solved
    cut = Solves.of(solves, 12)
    settings = SETTINGS.replace(learning_rate=3e-2)
    asked = ASKED.replace(steps=100)
    bench = Bench(cut, surrogate, settings, asked)
    once = Bench(cut, surrogate, settings, asked.model_copy(update={"repeats": 1}))
    data = TrainingData(cut.z, cut.y)
    last = train(data, SETTINGS.replace(max_epochs=150), surrogate, progress=False)[0]
    problem = observed(80)
    result, metrics = order_candidates(bench, problem, ANSWER, last, 0.5)
    assert metrics["candidates"] == 59
    assert result["candidate_error"].shape == (2, 2, 2)
    assert result["candidates"].values.tolist() == [4, 59]
    # The broad design alone leaves the answer far off, and solves near the population mend that.
    for name in ("influence", "random"):
        ends = metrics[f"answer_error_{name}_59_candidates"]
        assert ends < 0.5 * metrics["answer_error_without_candidates"]
    # All candidates are the same solves in any order.
    both = [metrics[f"answer_error_{name}_59_candidates"] for name in ("influence", "random")]
    assert both[0] == pytest.approx(both[1], rel=0.5)
    assert all(isinstance(value, float | int | str) for value in metrics.values())
    assert "distances to the answer through the last surrogate" in metrics["candidates_statement"]
    again, _ = order_candidates(once, problem, ANSWER, last, 0.5)
    xr.testing.assert_identical(result["candidate_error"][:, :1], again["candidate_error"])
    # Through the last surrogate itself nothing is left.
    monkeypatch.setattr(once, "trained", lambda *_: last)
    _, metrics = order_candidates(once, problem, ANSWER, last, 0.5)
    assert metrics["answer_error_without_candidates"] == 0.0


def test_the_losses_are_those_of_the_studys_training(solved):
    solves, surrogate = solved
    cut = Solves.of(solves, 12)
    bench = Bench(cut, surrogate, SETTINGS, ASKED)
    rows = np.arange(len(cut.z))
    problem = prepare(
        TrainingData(cut.z, cut.y), SETTINGS.replace(validation_fraction=0.0), surrogate
    )
    z, y, weights = problem.training
    error = (problem.network(z) - y) * torch.cosh(y) @ problem.error_map.T
    expected = (weights * error.square().mean(dim=1)).detach()
    torch.testing.assert_close(bench.losses(bench.theta, *bench.part(rows)), expected)
    # To first order in the error, it is the whitened one.
    whitened = bench.error_of(surrogate)
    gap = (surrogate.predict(cut.z[cut.test]) - cut.y[cut.test]) / 0.1
    assert whitened == pytest.approx(np.sqrt(np.mean(gap**2)))


# --- networks that answer principal components ----------------------------------------------------

WIDE = SETTINGS.replace(whitening=10 * np.eye(6))


@pytest.fixture(scope="module")
def extended():
    """A bench whose later solves have a direction of the outputs that the first ones have not."""
    solves = record()
    z = solves["z"].values
    # Sensors at the same place, of which one sees more of the later solves.
    y = answers(z)[:, [0, 0, 0, 1, 1, 1]]
    y[80:, 2] += np.cos(3 * z[80:, 0])
    solves["y"] = ("sample", "observation"), y
    first = train(TrainingData(z[:80], y[:80]), WIDE.replace(whitening=None), progress=False)[0]
    return Bench(Solves.of(solves, 12), first, WIDE, ASKED), first


def test_the_network_that_is_trained_has_the_components_of_all_solves(extended):
    bench, first = extended
    assert first.network.components.matrix.shape[1] == 2
    assert bench.with_weights(bench.theta).network.components.matrix.shape[1] == 3


def test_without_training_the_error_is_as_before(extended, monkeypatch):
    bench, first = extended
    found = bench.nothing_trained()
    assert found.difference < 1e-6 < found.tolerance
    # No look at the target is better than the first, so that the weights stay.
    monkeypatch.setattr(bench, "target_loss", lambda _: 0.0)
    trained = bench.trained(bench.solves.pool, "nothing")
    assert bench.error_of(trained) == pytest.approx(bench.error_of(first), rel=1e-6)


def test_weights_of_another_network_are_refused(extended):
    bench, first = extended
    with pytest.raises(ValueError, match="weights were given to a network that has"):
        filled(first.network, bench.theta)


def test_weights_that_end_up_in_another_network_end_the_use(extended, monkeypatch):
    """The surplus was dropped in silence, so that the error rose eightfold with nothing trained."""
    bench, first = extended

    def dropping(network, weights):
        own = copy.deepcopy(first.network)
        vector_to_parameters(weights.clone(), own.parameters())
        return own

    monkeypatch.setattr(study, "filled", dropping)
    with pytest.raises(InvariantError, match="nothing trained: change of the first surrogate's"):
        bench.nothing_trained()


def test_a_training_never_ends_worse_on_the_target(solved, monkeypatch):
    solves, surrogate = solved
    bench = Bench(Solves.of(solves, 12), surrogate, SETTINGS.replace(learning_rate=30.0), ASKED)
    # Steps so large throw every look off, so that the weights stay what they were.
    assert bench.error_of(bench.trained(bench.solves.pool, "off")) == bench.error_of(surrogate)


def test_without_candidates_the_second_question_is_not_asked():
    solves = record(rounds=(60, 5))
    surrogate = first_surrogate(solves)
    bench = Bench(Solves.of(solves, 12), surrogate, SETTINGS, ASKED)
    result, metrics = order_candidates(bench, observed(), ANSWER, surrogate, 0.5)
    assert result is None
    assert metrics["candidates"] == 5
    assert "too few" in metrics["candidates_statement"]


def test_too_few_fresh_solves_are_refused():
    with pytest.raises(DataError, match="18 fresh ones succeeded"):
        Solves.of(record(fresh=20, failed=[140, 141]), 12)


def test_solves_saved_are_counted_to_the_error_of_some_at_random():
    counts = [10, 20, 40, 80]
    errors = {"influence": [[1 / n for n in counts]] * 2, "random": [[2 / n for n in counts]] * 2}
    _, metrics = solves_saved(errors, counts, 0.5)
    # 1/20 is what 40 at random reach.
    assert metrics["solves_by_random"] == 40
    assert metrics["solves_by_influence"] == 20
    assert metrics["solves_saved"] == 20
    assert metrics["lead_of_influence_40_candidates"] == pytest.approx(1 / 40)
    errors["influence"] = [[9.0] * 4] * 2
    _, metrics = solves_saved(errors, counts, 0.5)
    assert metrics["solves_by_influence"] == "> 80"
    words = "random order needs 40 and the order of influence needs more than 80"
    assert words in metrics["candidates_statement"]
    assert metrics["solves_saved"] == "< -40"
    errors["influence"] = [[0.01] * 4] * 2
    assert solves_saved(errors, counts, 0.5)[1]["solves_saved"] == "> 30"
    assert (
        "the order of influence needs fewer than 10"
        in solves_saved(errors, counts, 0.5)[1]["candidates_statement"]
    )
    # Where random order is there at once, nothing is known of what is saved.
    errors["random"] = [[0.04, 0.05, 0.05, 0.05]] * 2
    assert "unknown" in solves_saved(errors, counts, 0.5)[1]["solves_saved"]
