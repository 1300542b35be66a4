import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from popinv.errors import ConfigError, DataError, DivergenceError
from popinv.store.checkpoints import state_from_arrays, state_to_arrays
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import (
    TrainingData,
    TrainingDiverged,
    TrainingSettings,
    TrainingState,
    finished,
    initial_state,
    prepare,
    step,
    train,
    validation_mask,
)
from popinv.surrogate.training_problem import loss_and_gradient, loss_of

SMALL = {"width": 16, "depth": 1}


def curved_data(n=120, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 3))
    return TrainingData(z, np.stack([np.sin(z[:, 0]) + z[:, 1], z[:, 1] * z[:, 2]], axis=1))


def settings(**changes):
    defaults = {"hyperparameters": SMALL, "max_epochs": 12, "batch_size": 16}
    return TrainingSettings(**{**defaults, **changes})


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


# Accuracy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_linear_map_is_learned(dtype):
    rng = np.random.default_rng(0)
    matrix, shift = rng.standard_normal((4, 3)), rng.standard_normal(4)
    z = rng.standard_normal((400, 3)) * [0.1, 1, 10]
    y = 100 * (z @ matrix.T + shift)
    chosen = settings(
        hyperparameters={"width": 32, "depth": 1, "dtype": dtype},
        max_epochs=100,
        batch_size=32,
        learning_rate=2e-2,
    )
    surrogate, _ = train(TrainingData(z, y), chosen)
    fresh = rng.standard_normal((100, 3)) * [0.1, 1, 10]
    error = surrogate.predict(fresh) - 100 * (fresh @ matrix.T + shift)
    # The arcsinh of the outputs bends the map, so it is learnt as any smooth one is.
    assert np.sqrt(np.mean(error**2)) < 0.05 * y.std()


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize(
    ("depth", "smooth"), [(0, False), (1, False), (1, True), (3, False), (3, True)]
)
def test_the_gradient_is_that_of_automatic_differentiation(depth, smooth, whitened):
    rng = np.random.default_rng(5)
    z = rng.standard_normal((200, 3))
    # Smooth waves at many places have few principal components, white noise has none to leave out.
    y = z @ np.sin(np.pi * np.outer([1, 2, 3], np.linspace(0, 1, 40)))
    if not smooth:
        y += rng.standard_normal(y.shape)
    problem = prepare(
        TrainingData(z, y, weights=rng.uniform(0.5, 2, 200)),
        settings(
            hyperparameters={"width": 8, "depth": depth, "dtype": "float64"},
            whitening=rng.standard_normal((40, 40)) if whitened else None,
        ),
    )
    assert problem.network.has_components == smooth
    rows = [tensor[:40] for tensor in problem.training]
    expected = loss_of(problem, *rows)
    parts = torch.autograd.grad(expected, list(problem.network.parameters()))
    value, gradient = loss_and_gradient(problem, *rows)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    flat = torch.cat([part.reshape(-1) for part in parts])
    # Sums in double precision, in another order.
    torch.testing.assert_close(gradient, flat, rtol=1e-10, atol=1e-12 * float(flat.abs().max()))


def test_the_loss_is_in_units_of_the_noise_under_whitening():
    data = curved_data()
    factor = np.array([[0.5, 0.0], [0.2, 0.1]])
    whitening = np.linalg.inv(factor)
    chosen = settings(whitening=whitening, relative_beyond=None)
    surrogate, history = train(data, chosen)
    mask = validation_mask(np.arange(len(data.z)), chosen.seed, chosen.validation_fraction)
    s = surrogate.standardisation
    truth = s.standard_outputs(data.y[mask])
    answer = s.standard_outputs(surrogate.predict(data.z[mask]))
    # d y = scale cosh(t) dt, the error of y to first order in that of the standardised t.
    error = (s.output_scale * np.cosh(truth) * (answer - truth)) @ whitening.T
    assert history["validation_loss"].min() == pytest.approx(np.mean(error**2), rel=1e-3)


def test_heavier_rows_are_fitted_better():
    z = np.zeros((200, 2))
    side = np.arange(200) % 2
    # The same input asks for two answers: the fit lies where the weights say.
    y = np.where(side == 0, -1.0, 1.0)[:, None]
    chosen = settings(
        max_epochs=30, validation_fraction=0.0, learning_rate=1e-2, relative_beyond=None
    )
    for share in (0.2, 0.5, 0.9):
        weights = np.where(side == 0, 1 - share, share)
        surrogate, _ = train(TrainingData(z, y, weights), chosen)
        assert surrogate.predict(z[:1])[0, 0] == pytest.approx(2 * share - 1, abs=0.1)


def test_a_row_from_the_tail_hardly_matters_for_standardised_outputs():
    data = curved_data(n=200)
    row = np.flatnonzero(~validation_mask(np.arange(200), 0, 0.1))[0]
    errors = []
    for size in (0.0, 1e4):
        y = data.y.copy()
        y[row] += size
        surrogate, _ = train(dataclasses.replace(data, y=y), settings(max_epochs=40))
        gap = np.abs(surrogate.predict(data.z) - data.y)
        errors.append(np.median(np.delete(gap, row, axis=0)))
    assert errors[1] < 2 * errors[0]


def test_a_row_from_the_tail_does_not_outweigh_all_others_when_whitened():
    whitening = np.diag([1.0, 10.0])
    data = curved_data(n=200)
    mask = validation_mask(np.arange(200), 0, 0.1)
    row = np.flatnonzero(~mask)[0]
    data.z[row, 0] += 3
    data.y[row] = 1e4
    errors = []
    for limit in (2.0, None):
        chosen = settings(max_epochs=40, relative_beyond=limit, whitening=whitening)
        surrogate, _ = train(data, chosen)
        errors.append(np.median(np.abs(surrogate.predict(data.z) - data.y)))
    assert errors[0] < 0.5 * errors[1]


def test_the_weights_of_whitened_rows_depend_on_no_unit_of_the_noise():
    weights = [
        prepare(curved_data(), settings(whitening=size * np.eye(2))).training[2]
        for size in (1.0, 1e-3, 1e3)
    ]
    # Rows beyond the usual distance weigh less than others.
    assert weights[0].min() < 0.8 * weights[0].max()
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0])


def test_rows_of_weight_0_do_not_matter():
    data = curved_data()
    weights = np.ones(len(data.z))
    weights[::5] = 0
    spoilt = data.y.copy()
    spoilt[::5] = 1e6
    a, _ = train(dataclasses.replace(data, weights=weights), settings())
    b, _ = train(TrainingData(data.z, spoilt, weights), settings())
    assert same(a.to_arrays(), b.to_arrays())


# Reproducibility


def test_the_same_call_gives_the_same_bits_and_another_seed_others():
    data = curved_data()
    torch.manual_seed(1)
    a, _ = train(data, settings())
    torch.manual_seed(2)
    b, _ = train(data, settings())
    c, _ = train(data, settings(seed=1))
    assert same(a.to_arrays(), b.to_arrays())
    assert not same(a.to_arrays(), c.to_arrays())


def test_the_global_generator_of_torch_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(curved_data(), settings(max_epochs=1))
    assert torch.equal(torch.rand(3), expected)


class Killed(Exception):
    pass


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("warm", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(schedule, warm, tmp_path):
    data = curved_data()
    chosen = settings(schedule=schedule, learning_rate=0.03)
    initial = train(curved_data(seed=1), settings(max_epochs=2))[0] if warm else None
    whole, whole_history = train(data, chosen, initial=initial)

    def save_and_die(state):
        np.savez(tmp_path / "state.npz", **state_to_arrays(state))
        if state.epoch == 5:
            raise Killed

    with pytest.raises(Killed):
        train(data, chosen, initial=initial, checkpoint=save_and_die)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as arrays:
        state = state_from_arrays(TrainingState, dict(arrays))
    assert state.epoch == 5
    resumed, history = train(data, chosen, initial=initial, resume=state)
    assert same(whole.to_arrays(), resumed.to_arrays())
    assert same(whole_history, history)


def test_a_checkpoint_of_another_training_is_refused():
    states = []
    train(curved_data(), settings(max_epochs=3), checkpoint=states.append)
    with pytest.raises(DataError, match="other data or settings"):
        train(curved_data(seed=1), settings(max_epochs=3), resume=states[0])
    with pytest.raises(DataError, match="other data or settings"):
        train(curved_data(), settings(max_epochs=4), resume=states[0])


def test_a_step_leaves_the_given_state_as_it_was():
    chosen = settings()
    problem = prepare(curved_data(), chosen)
    state = initial_state(problem, chosen)
    before = {k: v.copy() for k, v in state_to_arrays(state).items()}
    once, _ = step(state, problem, chosen)
    assert same(before, state_to_arrays(state))
    again, info = step(state, problem, chosen)
    assert same(state_to_arrays(once), state_to_arrays(again))
    assert info["validation_loss"] == once.validation_loss[-1]


def test_the_steps_are_those_of_adam_by_torch():
    chosen = settings(
        hyperparameters=SMALL | {"dtype": "float64"}, validation_fraction=0.0, schedule="constant",
        batch_size=1000,
    )  # fmt: skip
    problem = prepare(curved_data(), chosen)
    state = initial_state(problem, chosen)
    weights = torch.nn.Parameter(torch.from_numpy(state.weights.copy()))
    optimiser = torch.optim.Adam([weights], lr=chosen.learning_rate)
    for _ in range(3):
        # All rows are one batch; the network holds the weights that the loss is taken at.
        torch.nn.utils.vector_to_parameters(weights.detach(), problem.network.parameters())
        weights.grad = loss_and_gradient(problem, *problem.training)[1].clone()
        optimiser.step()
        state, _ = step(state, problem, chosen)
        np.testing.assert_allclose(state.weights, weights.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_a_checkpoint_without_an_array_is_refused():
    with pytest.raises(DataError, match="first_moment"):
        state_from_arrays(TrainingState, {"weights": np.zeros(3)})


# Warm start


def test_a_warm_start_goes_on_from_the_same_function():
    data = curved_data()
    first, history = train(data, settings())
    second, warm = train(data, settings(), initial=first)
    assert warm["validation_loss"][0] == history["validation_loss"].min()
    assert warm["validation_loss"].min() <= history["validation_loss"].min()
    # Training on did not reach into the surrogate it started from.
    assert not same(first.to_arrays(), second.to_arrays())
    again, _ = train(data, settings())
    assert same(first.to_arrays(), again.to_arrays())


def test_a_warm_start_without_epochs_is_the_same_surrogate_on_other_data():
    first, _ = train(curved_data(), settings())
    data = curved_data(n=200, seed=3)
    moved = TrainingData(5 + 2 * data.z, data.y - 7)
    problem = prepare(moved, settings(), first)
    second = Surrogate(problem.network, problem.standardisation, first.hyperparameters)
    assert same(first.to_arrays(), second.to_arrays())
    again = Surrogate.from_arrays(first.to_arrays(), first.hyperparameters)
    third, _ = train(moved, settings(), initial=first)
    fourth, _ = train(moved, settings(), initial=again)
    assert same(third.to_arrays(), fourth.to_arrays())


def test_a_warm_start_with_another_network_is_refused():
    first, _ = train(curved_data(), settings(max_epochs=1))
    with pytest.raises(ConfigError, match="start"):
        train(curved_data(), settings(hyperparameters={**SMALL, "width": 17}), initial=first)


# Split and stopping


def test_rows_keep_their_side_when_others_join():
    few = validation_mask(np.arange(500), 3, 0.2)
    many = validation_mask(np.arange(2000), 3, 0.2)
    assert np.array_equal(few, many[:500])
    assert many.mean() == pytest.approx(0.2, abs=0.03)
    # Rows are known by their global index, not by their place.
    assert np.array_equal(validation_mask(np.arange(100, 200), 3, 0.2), many[100:200])
    assert not np.array_equal(many, validation_mask(np.arange(2000), 4, 0.2))


def test_training_stops_without_improvement_and_returns_the_best():
    rng = np.random.default_rng(0)
    noise = TrainingData(rng.standard_normal((60, 3)), rng.standard_normal((60, 2)))
    chosen = settings(max_epochs=500, patience=5, learning_rate=0.02, schedule="constant")
    _, history = train(noise, chosen)
    losses = history["validation_loss"]
    assert len(losses) < 500
    assert losses.argmin() == len(losses) - 1 - 5


def test_the_learning_rate_follows_its_schedule():
    _, history = train(curved_data(), settings(schedule="cosine"))
    assert np.all(np.diff(history["learning_rate"]) < 0)
    assert history["learning_rate"][-1] < 0.01 * settings().learning_rate
    _, history = train(curved_data(), settings(schedule="constant", learning_rate=0.02))
    assert set(history["learning_rate"]) == {0.02}


# Failure


def test_divergence_hands_over_the_last_good_state():
    chosen = settings(learning_rate=1e30, schedule="constant")
    with pytest.raises(DivergenceError, match="learning_rate") as caught:
        train(curved_data(), chosen)
    state = caught.value.state
    assert np.isfinite(state.weights).all()
    assert not finished(state, chosen)


def test_a_loss_that_is_not_finite_leaves_the_state_before_it():
    chosen = settings()
    problem = prepare(curved_data(), chosen)
    good, _ = step(initial_state(problem, chosen), problem, chosen)
    problem.training[1][3] = torch.nan
    with pytest.raises(TrainingDiverged, match="epoch 2") as caught:
        step(good, problem, chosen)
    assert caught.value.state is good
    assert np.isfinite(good.weights).all()


def test_rows_that_are_not_finite_are_refused_by_number():
    data = curved_data()
    data.y[4] = np.nan
    rows = np.arange(len(data.z)) + 1000
    with pytest.raises(DataError, match="row 1004"):
        train(dataclasses.replace(data, rows=rows), settings())


def test_threads_are_put_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        train(curved_data(), settings(max_epochs=1))
        assert torch.get_num_threads() == 2
        with pytest.raises(DivergenceError):
            train(curved_data(), settings(learning_rate=1e30, schedule="constant"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schedule": "cosinus"}, "'cosine'"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"relative_beyond": 0.0}, "relative_beyond"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(change, match):
    with pytest.raises(ValidationError, match=match):
        settings(**change)


def test_nothing_is_shown_when_standard_error_is_not_a_terminal(capfd):
    train(curved_data(), settings(max_epochs=1))
    assert capfd.readouterr().err == ""
