"""A simulator whose logarithms are observed."""

from __future__ import annotations

import numpy as np

from popinv.forward.external.transformed import Logarithms


class Growth:
    """G(z) = z_1 exp(z_2 t) at two times, with derivatives."""

    times = np.array([1.0, 2.0])

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        return z[:, :1] * np.exp(z[:, 1:] * self.times)

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        grown = np.exp(z[:, 1:] * self.times)
        return np.stack([grown, z[:, :1] * self.times * grown], axis=2)

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        changes = np.einsum("nij,nkj->nki", self.jacobian(z), tangents)
        both = np.concatenate([self.call(z, seeds, seconds)[:, None], changes], axis=1)
        return both.reshape(len(z), -1)

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        return np.einsum("nij,ni->nj", self.jacobian(z), cotangents)

    def close(self) -> None:
        pass


def test_values_and_derivatives_are_those_of_the_logarithm():
    z, seeds = np.array([[2.0, 0.3], [0.5, -1.0]]), np.zeros(2, dtype=int)
    model = Logarithms(Growth(), 2)
    np.testing.assert_allclose(
        model.call(z, seeds, 60.0), np.log(z[:, :1]) + z[:, 1:] * Growth.times
    )
    # d log G / dz = (1 / z_1, t).
    slopes = np.stack([np.tile(1 / z[:, :1], 2), np.tile(Growth.times, (2, 1))], axis=2)
    tangents = np.random.default_rng(0).standard_normal((2, 3, 2))
    answer = model.jvp(z, tangents, seeds, 60.0).reshape(2, 4, 2)
    np.testing.assert_allclose(answer[:, 0], model.call(z, seeds, 60.0))
    np.testing.assert_allclose(answer[:, 1:], np.einsum("nij,nkj->nki", slopes, tangents))
    weights = np.array([[1.0, -2.0], [0.5, 3.0]])
    gradient = model.vjp(z, weights, seeds, 60.0)
    np.testing.assert_allclose(gradient, np.einsum("nij,ni->nj", slopes, weights))


def test_a_value_that_is_not_positive_fails():
    z, seeds = np.array([[0.0, 0.3], [1.0, 0.0]]), np.zeros(2, dtype=int)
    answer = Logarithms(Growth(), 2).call(z, seeds, 60.0)
    assert np.isnan(answer[0]).all()
    assert np.isfinite(answer[1]).all()
