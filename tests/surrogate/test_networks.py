import json

import numpy as np
import pytest
import torch

from popinv.errors import ConfigError, DataError
from popinv.surrogate.networks import (
    FNO,
    MLP,
    SpectralConvolution,
    build_network,
)
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def surrogate(hyperparameters=None, d_z=3, d_y=5, fixed=None):
    rng = np.random.default_rng(0)
    hyperparameters = hyperparameters or {"kind": "mlp", "width": 16, "dtype": "float64"}
    standardisation = Standardisation(
        rng.standard_normal(d_z), rng.random(d_z) + 0.5, rng.standard_normal(d_y), rng.random(d_y)
    )
    network = build_network(hyperparameters, d_z, d_y, fixed)
    return Surrogate(network, standardisation, hyperparameters)


def fno_parts(grid, d_z=4, d_y=3):
    rng = np.random.default_rng(1)
    n = int(np.prod(grid))
    return {"evaluation": rng.standard_normal((n, d_z))}, rng.random((d_y, n)) / n


# Spectral convolution


def direct_convolution_2d(layer, field):
    """Sum over the frequencies one by one, the conjugate half written out."""
    n, width, g0, g1 = field.shape
    m0, m1 = (layer.weight.shape[2] + 1) // 2, layer.weight.shape[3]
    weight = torch.view_as_complex(layer.weight.detach()).numpy()
    x0, x1 = np.meshgrid(np.arange(g0) / g0, np.arange(g1) / g1, indexing="ij")
    out = np.zeros((n, width, g0, g1))
    for k0 in range(1 - m0, m0):
        for k1 in range(m1):
            wave = np.exp(2j * np.pi * (k0 * x0 + k1 * x1))
            coefficient = (field.numpy() * wave.conj()).sum(axis=(2, 3)) / (g0 * g1)
            mixed = coefficient @ weight[:, :, k0, k1]  # k0 < 0 counts from the end
            # k1 > 0 stands for itself and for -k, its conjugate; k1 = 0 has both in the loop
            out += (1 if k1 == 0 else 2) * (mixed[:, :, None, None] * wave).real
    return out


@pytest.mark.parametrize(("grid", "modes"), [((8, 10), (3, 4)), ((9, 7), (5, 4)), ((6, 6), (1, 1))])
def test_spectral_layer_equals_the_sum_over_frequencies_2d(grid, modes):
    layer = SpectralConvolution(2, grid, modes).double()
    field = torch.randn(3, 2, *grid, dtype=torch.float64)
    expected = direct_convolution_2d(layer, field)
    np.testing.assert_allclose(layer(field).detach().numpy(), expected, atol=1e-12)


def test_spectral_layer_equals_circular_convolution_1d():
    grid, modes = 11, 4
    layer = SpectralConvolution(1, (grid,), (modes,)).double()
    weight = torch.view_as_complex(layer.weight.detach()).numpy()[0, 0]
    x = np.arange(grid) / grid
    kernel = weight[0].real + sum(
        2 * (weight[k] * np.exp(2j * np.pi * k * x)).real for k in range(1, modes)
    )
    field = torch.randn(1, 1, grid, dtype=torch.float64)
    f = field.numpy()[0, 0]
    expected = [sum(kernel[(i - j) % grid] * f[j] for j in range(grid)) / grid for i in range(grid)]
    np.testing.assert_allclose(layer(field).detach().numpy()[0, 0], expected, atol=1e-12)


@pytest.mark.parametrize("direction", [1, -1])
def test_waves_of_either_direction_pass(direction):
    """A layer without the negative frequencies of the first axis loses one of the two."""
    grid = (8, 8)
    layer = SpectralConvolution(1, grid, (3, 3)).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[..., 0] = 1.0
    x0, x1 = torch.meshgrid(*[torch.arange(8, dtype=torch.float64) / 8] * 2, indexing="ij")
    wave = torch.cos(2 * torch.pi * (2 * x0 * direction + x1))[None, None]
    torch.testing.assert_close(layer(wave), wave)


def test_spectral_layer_commutes_with_shifts_and_is_linear():
    layer = SpectralConvolution(2, (8, 6), (3, 2)).double()
    a, b = torch.randn(2, 1, 2, 8, 6, dtype=torch.float64)
    shifted = layer(a.roll((3, 2), dims=(2, 3)))
    torch.testing.assert_close(shifted, layer(a).roll((3, 2), dims=(2, 3)))
    torch.testing.assert_close(layer(2 * a - b), 2 * layer(a) - layer(b))


@pytest.mark.parametrize("grid", [(8,), (7,), (4, 6)])
def test_spectral_layer_gradient(grid):
    layer = SpectralConvolution(1, grid, (2,) * len(grid)).double()
    field = torch.randn(1, 1, *grid, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (field,))


def test_too_many_modes_are_refused():
    with pytest.raises(ConfigError, match="modes"):
        SpectralConvolution(2, (8,), (5,))


# Networks


def test_mlp_of_depth_0_is_affine():
    network = MLP(3, 2, depth=0).double()
    a, b = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(network(a + b) + network(0 * a), network(a) + network(b))


@pytest.mark.parametrize("grid", [(12,), (6, 8)])
def test_fno_sees_its_input_through_the_evaluation_matrix_alone(grid):
    fixed, _ = fno_parts(grid)
    network = FNO(**fixed, grid_shape=grid, d_out=3, width=4, modes=3, layers=2).double()
    z = torch.randn(5, 4, dtype=torch.float64)
    assert network(z).shape == (5, 3)
    # Coefficients in another basis of the same fields give the same answer.
    change = np.random.default_rng(2).standard_normal((4, 4))
    other = FNO(
        fixed["evaluation"] @ change, grid_shape=grid, d_out=3, width=4, modes=3, layers=2
    ).double()
    other.load_state_dict(
        {k: v for k, v in network.state_dict().items() if k != "evaluation"}, strict=False
    )
    torch.testing.assert_close(other(z @ torch.tensor(np.linalg.inv(change)).T), network(z))


def test_fixed_readout_interpolates_the_output_field():
    fixed, readout = fno_parts((12,))
    options = {"grid_shape": (12,), "width": 4, "modes": 3, "layers": 1}
    network = FNO(**fixed, d_out=3, readout=readout, **options).double()
    whole = FNO(**fixed, d_out=12, readout=np.eye(12), **options).double()
    whole.load_state_dict(
        {k: v for k, v in network.state_dict().items() if k != "interpolation"}, strict=False
    )
    z = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(network(z), whole(z) @ torch.tensor(readout).T)
    assert not any("readout" in name for name, _ in network.named_parameters())


@pytest.mark.parametrize("grid", [(12,), (6, 8)])
def test_an_fno_tells_the_places_of_a_constant_field_apart(grid):
    n = int(np.prod(grid))
    network = FNO(
        np.ones((n, 1)), grid_shape=grid, d_out=n, width=4, modes=3, layers=1, readout=np.eye(n)
    ).double()
    field = network(torch.ones(1, 1, dtype=torch.float64)).detach().reshape(grid)
    for axis in range(len(grid)):
        assert bool((field.diff(dim=axis).abs() > 1e-3).any())


@pytest.mark.parametrize(
    ("hyperparameters", "match"),
    [
        ({"kind": "mpl"}, "mlp"),
        ({"kind": "mlp", "widht": 3}, "'width'"),
        ({"kind": "mlp", "dtype": "float23"}, "float32"),
        ({"kind": "fno", "grid_shape": [8]}, "evaluation"),
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

    network = build_network({"kind": "mlp", "width": 8, "dtype": "float64"}, 2, 2)
    of_logs = Surrogate(network, by_log, {"kind": "mlp", "width": 8, "dtype": "float64"})
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


def test_a_field_is_standardised_as_one():
    rng = np.random.default_rng(0)
    evaluation = rng.standard_normal((30, 3))
    z = rng.standard_normal((50, 3)) * [9, 1, 0.1]
    s = Standardisation.from_data(z, z, None, evaluation, common_output=True)
    assert len(set(s.input_scale)) == 1 == len(set(s.output_scale))
    # The common scale is in the units of the outputs.
    own = Standardisation.from_data(z, z).output_scale
    assert s.output_scale[0] == pytest.approx(np.sqrt(np.mean(own**2)))
    field = (z - s.input_mean) / s.input_scale @ evaluation.T
    assert np.mean(field**2) == pytest.approx(1)


# Surrogate


@pytest.mark.parametrize("kind", ["mlp", "fno", "fno fixed"])
def test_gradient_with_respect_to_parameters(kind):
    fixed, readout = fno_parts((6, 8))
    hyperparameters = {"kind": kind[:3], "width": 4, "dtype": "float64"}
    if kind != "mlp":
        hyperparameters |= {"grid_shape": [6, 8], "modes": 2, "layers": 2}
    if kind == "fno fixed":
        fixed["readout"] = readout
    model = surrogate(hyperparameters, 4, 3, None if kind == "mlp" else fixed)
    z = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (z,))


def test_surrogate_answers_in_the_dtype_it_is_asked_in_and_freezes_its_weights():
    model = surrogate({"kind": "mlp", "width": 8})
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = model(z)
    assert y.dtype == torch.float64
    y.sum().backward()
    assert z.grad is not None
    assert all(p.grad is None for p in model.network.parameters())
    np.testing.assert_allclose(model.predict(z.detach().numpy(), rows=3), y.detach(), rtol=1e-5)


def test_in_double_precision_the_surrogate_is_the_same_function():
    single = surrogate({"kind": "mlp", "width": 8})
    double, z = single.in_double(), torch.randn(50, 3, dtype=torch.float64)
    assert {p.dtype for p in double.network.parameters()} == {torch.float64}
    assert {p.dtype for p in single.network.parameters()} == {torch.float32}
    np.testing.assert_allclose(double(z), single(z), rtol=1e-5, atol=1e-6)
    # A change below single precision is seen.
    assert torch.all(double(z + 1e-10) != double(z))


@pytest.mark.parametrize("kind", ["mlp", "fno", "fno fixed"])
def test_round_trip_through_files_gives_identical_predictions(kind, tmp_path):
    fixed, readout = fno_parts((6, 8))
    hyperparameters = {"kind": kind[:3], "width": 4}
    if kind != "mlp":
        hyperparameters |= {"grid_shape": [6, 8], "modes": [2, 3], "layers": 2}
    if kind == "fno fixed":
        fixed["readout"] = readout
    model = surrogate(hyperparameters, 4, 3, None if kind == "mlp" else fixed)
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


@pytest.mark.parametrize("kind", ["mlp", "learned", "fixed"])
def test_some_outputs_are_those_of_the_whole_surrogate(kind):
    fixed, readout = fno_parts((6,))
    options = {"kind": "fno", "grid_shape": [6], "width": 4, "modes": 2, "layers": 1}
    if kind == "mlp":
        whole = surrogate(d_z=4)
    elif kind == "learned":
        whole = surrogate(options | {"dtype": "float64"}, 4, 5, fixed)
    else:
        whole = surrogate(options | {"dtype": "float64"}, 4, 3, fixed | {"readout": readout})
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


@pytest.mark.parametrize("width", [4, 16])
def test_a_spectral_convolution_begins_with_weights_of_the_mean_square_of_its_width(width):
    torch.manual_seed(0)
    weight = torch.view_as_complex(SpectralConvolution(width, [64], [32]).weight.detach())
    # E |R|^2 = 1 / width^2. The mean of 512 squares or more is known to 5 %, three times over.
    assert float((weight.abs() ** 2).mean()) == pytest.approx(width**-2, rel=0.15)
