"""From the configuration to a network."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.surrogate.build import training_settings
from popinv.surrogate.training import TrainingData, train


def study(dimension: int, **surrogate) -> Study:
    truth = {
        "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
        "noise": {"amplitude": 0.1, "length": 0.1},
    }
    forward = {"kind": "porous_flow", "dimension": dimension, "elements": 16, "modes": 3}
    forward["sensors"] = {"count": 9, "placement": "random"}
    given = {"forward": forward, "observations": {"truth": truth}, "surrogate": surrogate}
    return load({"studies": {"a": given}}, "test").studies["a"]


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_network_learns_from_the_configuration_alone(dimension):
    s = study(dimension, width=8, depth=1, max_epochs=40)
    field = s.forward.random_field()
    z = np.random.default_rng(0).standard_normal((64, len(field.parameters)))
    y = field.evaluate(z, field.basis(s.forward.observed(1).coordinates))
    settings = training_settings(s.surrogate, s.forward, 1, 0)
    _, history = train(TrainingData(z, y), settings, progress=False)
    assert history["validation_loss"].min() < 0.9 * history["validation_loss"][0]


def test_a_refit_has_a_learning_rate_of_its_own():
    s = study(1, learning_rate=0.02, refit_learning_rate=0.003)
    covariance = xr.Dataset({"noise_covariance": (("a", "b"), np.diag([4.0, 1.0]))})
    first = training_settings(s.surrogate, s.forward, 1, 0)
    later = training_settings(s.surrogate, s.forward, 1, 1, covariance)
    assert (first.learning_rate, later.learning_rate) == (0.02, 0.003)
    assert first.whitening is None
    np.testing.assert_allclose(later.whitening, np.diag([0.5, 1.0]))
