"""Piecewise linear functions, summed over directions, are those of NumPy."""

from __future__ import annotations

import numpy as np

from popinv.inference.uncertainty.distance_influence import summed_over_directions


def test_they_are_interpolated_between_the_edges_and_go_on_beyond_them():
    rng = np.random.default_rng(0)
    directions, bins, parameters = 3, 5, 2
    edges = np.sort(rng.standard_normal((directions, bins + 1)), axis=1)
    edges[1, 2] = edges[1, 3]
    values = rng.standard_normal((parameters, directions, bins + 1))
    values[:, 1, 2] = values[:, 1, 3]
    slopes = rng.standard_normal((parameters, directions, 2))
    projected = np.concatenate([2 * rng.standard_normal((directions, 50)), edges], axis=1)
    expected = np.zeros((projected.shape[1], parameters))
    for k, a in enumerate(projected):
        below, above = np.minimum(a - edges[k, 0], 0), np.maximum(a - edges[k, -1], 0)
        for i in range(parameters):
            inside = np.interp(a, edges[k], values[i, k])
            expected[:, i] += inside + slopes[i, k, 0] * below + slopes[i, k, 1] * above
    found = summed_over_directions(projected, edges, values, slopes)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_no_projection_has_no_place():
    found = summed_over_directions(
        np.array([[np.nan, 0.5]]), np.array([[0.0, 1.0]]), np.ones((1, 1, 2)), np.zeros((1, 1, 2))
    )
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 1.0
