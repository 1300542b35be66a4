import json

import numpy as np
import pytest
import torch

from popinv.errors import ConfigError, DataError
from popinv.surrogate.networks import (
    MLP,
    build_network,
)
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def surrogate(hyperparameters=None, d_z=3, d_y=5):
    rng = np.random.default_rng(0)
    hyperparameters = hyperparameters or {"width": 16, "dtype": "float64"}
    standardisation = Standardisation(
        rng.standard_normal(d_z), rng.random(d_z) + 0.5, rng.standard_normal(d_y), rng.random(d_y)
    )
    network = build_network(hyperparameters, d_z, d_y)
    return Surrogate(network, standardisation, hyperparameters)


# Networks


def test_mlp_of_depth_0_is_affine():
    network = MLP(3, 2, depth=0).double()
    a, b = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(network(a + b) + network(0 * a), network(a) + network(b))


@pytest.mark.parametrize(
    ("hyperparameters", "match"),
    [
        ({"widht": 3}, "'width'"),
        ({"dtype": "float23"}, "float32"),
    ],
)
def test_unknown_hyperparameters_are_refused_by_name(hyperparameters, match):
    with pytest.raises(ConfigError, match=match):
        build_network(hyperparameters, 3, 2)


# Standardisation


def test_inputs_have_mean_0_and_scale_1_under_the_weights():
    rng = np.random.default_rng(0)
    z, w = rng.standard_normal((50, 3)) * [1, 5, 9] + 4, rng.random(50)
    s = Standardisation.from_data(z, rng.random((50, 2)), w)
    a = s.standard_inputs(z)
    np.testing.assert_allclose(np.average(a, axis=0, weights=w), 0, atol=1e-12)
    np.testing.assert_allclose(np.average(a**2, axis=0, weights=w), 1)


def test_parameters_that_are_positive_by_their_law_are_read_by_their_logarithms():
    rng = np.random.default_rng(0)
    logs = rng.standard_normal((60, 2))
    z, y = np.exp(logs), rng.random((60, 2))
    by_log = Standardisation.from_data(z, y, logarithmic=(True, False))
    plain = Standardisation.from_data(logs, y)
    expected = plain.standard_inputs(logs)[:, 0]
    np.testing.assert_allclose(by_log.standard_inputs(z)[:, 0], expected, rtol=1e-12)
    kept = Standardisation.from_data(z, y).standard_inputs(z)[:, 1]
    np.testing.assert_array_equal(by_log.standard_inputs(z)[:, 1], kept)

    network = build_network({"width": 8, "dtype": "float64"}, 2, 2)
    of_logs = Surrogate(network, by_log, {"width": 8, "dtype": "float64"})
    answer = of_logs.predict(z)
    inner = network(torch.from_numpy(by_log.standard_inputs(z))).detach().numpy()
    expected = by_log.output_mean + by_log.output_scale * np.sinh(inner)
    np.testing.assert_allclose(answer, expected, rtol=1e-12)
    again = Surrogate.from_arrays(of_logs.to_arrays(), of_logs.hyperparameters)
    np.testing.assert_array_equal(again.predict(z), answer)
    few = torch.from_numpy(z[:3]).requires_grad_(True)
    assert torch.autograd.gradcheck(of_logs, (few,))


def test_outputs_are_scaled_by_what_is_usual_and_their_tail_is_logarithmic():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4000, 2)) * [1, 5] + 4
    y[0] = 1e6
    s = Standardisation.from_data(y, y)
    # Standard error of a scaled median deviation at 4000 draws: 1.8 %; four of them.
    np.testing.assert_allclose(s.output_scale, [1, 5], rtol=0.08)
    t = s.standard_outputs(y)
    np.testing.assert_allclose(np.median(t, axis=0), 0, atol=1e-12)
    assert t.max() < 16
    np.testing.assert_allclose(s.output_mean + s.output_scale * np.sinh(t), y, rtol=1e-9)


def test_a_constant_column_is_passed_as_0():
    z = np.random.default_rng(0).standard_normal((50, 2))
    z[:, 1] = 0.1
    s = Standardisation.from_data(z, z)
    assert s.input_scale[1] == 1
    np.testing.assert_allclose((z[:, 1] - s.input_mean[1]) / s.input_scale[1], 0, atol=1e-15)


# Surrogate


def test_gradient_with_respect_to_parameters():
    model = surrogate({"width": 4, "dtype": "float64"}, 4, 3)
    z = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (z,))


def test_surrogate_answers_in_the_dtype_it_is_asked_in_and_freezes_its_weights():
    model = surrogate({"width": 8})
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = model(z)
    assert y.dtype == torch.float64
    y.sum().backward()
    assert z.grad is not None
    assert all(p.grad is None for p in model.network.parameters())
    np.testing.assert_allclose(model.predict(z.detach().numpy(), rows=3), y.detach(), rtol=1e-5)


def test_in_double_precision_the_surrogate_is_the_same_function():
    single = surrogate({"width": 8})
    double, z = single.in_double(), torch.randn(50, 3, dtype=torch.float64)
    assert {p.dtype for p in double.network.parameters()} == {torch.float64}
    assert {p.dtype for p in single.network.parameters()} == {torch.float32}
    np.testing.assert_allclose(double(z), single(z), rtol=1e-5, atol=1e-6)
    # A change below single precision is seen.
    assert torch.all(double(z + 1e-10) != double(z))


def test_round_trip_through_files_gives_identical_predictions(tmp_path):
    hyperparameters = {"width": 4}
    model = surrogate(hyperparameters, 4, 3)
    np.savez(tmp_path / "a.npz", **model.to_arrays())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        again = Surrogate.from_arrays(dict(arrays), json.loads(json.dumps(hyperparameters)))
    z = np.random.default_rng(3).standard_normal((7, 4))
    assert np.array_equal(model.predict(z), again.predict(z))


def test_damaged_arrays_are_refused():
    model = surrogate()
    arrays = model.to_arrays()
    with pytest.raises(DataError, match="output_scale"):
        Surrogate.from_arrays(
            {k: v for k, v in arrays.items() if k != "output_scale"}, model.hyperparameters
        )
    with pytest.raises(DataError, match="fit"):
        Surrogate.from_arrays(arrays, {**model.hyperparameters, "width": 17})


# Some of the outputs


def test_some_outputs_are_those_of_the_whole_surrogate():
    whole = surrogate(d_z=4)
    entries, z = np.array([0, 2]), torch.randn(7, 4, dtype=torch.float64)
    before = whole.network.state_dict()
    some = whole.of_outputs(entries)
    tangents = torch.randn(2, 7, 4, dtype=torch.float64)
    torch.testing.assert_close(some(z), whole(z)[:, entries])
    for one, other in zip(some.linearise(z, tangents), whole.linearise(z, tangents), strict=True):
        torch.testing.assert_close(one, other[..., entries])
    for name, tensor in whole.network.state_dict().items():
        assert tensor is before[name] or torch.equal(tensor, before[name])
    assert len(whole(z)[0]) == len(whole.standardisation.output_mean)
