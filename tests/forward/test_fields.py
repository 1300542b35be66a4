"""Log-permeability fields: names, values against the plain formula, independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
from rows_alone import assert_rows_are_alone

from popinv.errors import ConfigError, DataError
from popinv.forward.fields import CosineField, LevelSetField
from popinv.forward.wavenumbers import wavenumbers


def test_wavenumbers_in_one_dimension():
    assert wavenumbers(1, 4).tolist() == [[1], [2], [3], [4]]


def test_wavenumbers_in_two_dimensions_are_sorted_and_complete():
    numbers = wavenumbers(2, 3).tolist()
    assert numbers == [[0, 1], [1, 0], [1, 1], [0, 2], [2, 0], [1, 2], [2, 1], [2, 2]]
    assert wavenumbers(2, 6).shape == (35, 2)


@pytest.mark.parametrize(("dimension", "modes"), [(3, 2), (0, 2), (1, 0), (2, 1), (1, 2.5)])
def test_wavenumbers_refuse_what_gives_no_field(dimension, modes):
    with pytest.raises(ConfigError):
        wavenumbers(dimension, modes)


def test_parameter_names_follow_the_wavenumbers():
    line = CosineField(1, 3, "log-permeability")
    assert [p.name for p in line.parameters] == ["mean", "mode_1", "mode_2", "mode_3"]
    assert [p.name for p in CosineField(2, 2, "log-permeability").parameters] == [
        "mean",
        "mode_0_1",
        "mode_1_0",
        "mode_1_1",
    ]
    names = [p.name for p in LevelSetField(1, 2, 10.0, "log-permeability").parameters]
    assert names == ["log_kappa_1", "log_kappa_2", "mode_1", "mode_2"]


@pytest.mark.parametrize("dimension", [1, 2])
def test_cosine_field_is_its_formula(dimension):
    rng = np.random.default_rng(1)
    field = CosineField(dimension, 3, "log-permeability")
    points = rng.random((11, dimension))
    z = rng.standard_normal((4, len(field.parameters)))
    expected = np.tile(z[:, :1], (1, 11))
    for j, k in enumerate(wavenumbers(dimension, 3)):
        expected += np.outer(z[:, 1 + j], np.prod(np.cos(np.pi * k * points), axis=1))
    np.testing.assert_allclose(field.evaluate(z, field.basis(points)), expected, atol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2])
def test_level_set_field_is_its_formula(dimension):
    rng = np.random.default_rng(2)
    field = LevelSetField(dimension, 3, 4.0, "log-permeability")
    points = rng.random((11, dimension))
    z = rng.standard_normal((5, len(field.parameters)))
    f = z[:, 2:] @ field.basis(points)
    kappa_1, kappa_2 = np.exp(z[:, :1]), np.exp(z[:, 1:2])
    expected = np.log(kappa_1 + (kappa_2 - kappa_1) / 2 * (1 + np.tanh(4.0 * f)))
    np.testing.assert_allclose(field.evaluate(z, field.basis(points)), expected, atol=1e-13)


def test_level_set_field_far_from_the_level_takes_the_two_values():
    field = LevelSetField(1, 1, 10.0, "log-permeability")
    basis = field.basis(np.array([[0.01], [0.99]]))
    values = field.evaluate(np.array([[-1.0, 2.0, 50.0]]), basis)
    np.testing.assert_allclose(values, [[2.0, -1.0]], atol=1e-12)


@pytest.mark.parametrize(
    "field",
    [
        CosineField(2, 6, "log-permeability"),
        LevelSetField(2, 6, 10.0, "log-permeability"),
        CosineField(1, 20, "log-permeability"),
    ],
)
def test_a_row_does_not_depend_on_its_batch(field):
    rng = np.random.default_rng(3)
    basis = field.basis(rng.random((203, field.dimension)))
    z = rng.standard_normal((37, len(field.parameters)))
    assert_rows_are_alone(lambda z: field.evaluate(z, basis), z, 1, 2, 5, 36)


def test_a_row_that_is_not_finite_stays_visible_and_alone():
    field = CosineField(1, 2, "log-permeability")
    basis = field.basis(np.array([[0.2], [0.4]]))
    values = field.evaluate(np.array([[0.0, 1.0, 0.0], [0.0, np.nan, 0.0]]), basis)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


def test_points_of_another_dimension_are_refused():
    with pytest.raises(DataError, match="shape"):
        CosineField(2, 2, "log-permeability").basis(np.zeros((3, 1)))
