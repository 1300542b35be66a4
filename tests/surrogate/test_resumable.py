"""A training that diverges keeps what was good, and one that is interrupted goes on."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.errors import DivergenceError
from popinv.store.checkpoints import Checkpoint, state_from_arrays
from popinv.surrogate.training import (
    TrainingData,
    TrainingSettings,
    TrainingState,
    train,
    train_resumably,
)

SETTINGS = TrainingSettings(hyperparameters={"width": 8, "depth": 2}, max_epochs=12)


def data(n: int = 120) -> TrainingData:
    z = np.random.default_rng(0).standard_normal((n, 3))
    return TrainingData(z, np.stack([np.sin(z[:, 0]), z[:, 1] * z[:, 2]], axis=1))


def test_a_diverging_training_keeps_the_last_good_state_and_says_what_to_change(tmp_path):
    checkpoint = Checkpoint(tmp_path / "training.zarr", {"a": 1})
    wild = SETTINGS.replace(learning_rate=1e30, schedule="constant")
    messages = []
    for _ in range(2):  # a second run goes on from there, to the same end
        with pytest.raises(DivergenceError) as caught:
            train_resumably(data(), wild, checkpoint)
        messages.append(str(caught.value))
        kept = state_from_arrays(TrainingState, checkpoint.read())
        assert np.isfinite(kept.weights).all()
        assert np.isfinite(kept.best_loss)
    assert messages[0] == messages[1]
    for part in ("diverged", "Lower surrogate.learning_rate (now 1e+30)", "training.zarr"):
        assert part in messages[0]
    # With other settings the checkpoint is another training's, and is not gone on from.
    other = Checkpoint(tmp_path / "training.zarr", {"a": 2})
    assert other.read() is None


def test_in_later_rounds_the_other_learning_rate_is_named(tmp_path):
    first, _ = train(data(), SETTINGS)
    checkpoint = Checkpoint(tmp_path / "training.zarr", {})
    wild = SETTINGS.replace(learning_rate=1e30, schedule="constant")
    with pytest.raises(DivergenceError, match=r"surrogate\.refit_learning_rate"):
        train_resumably(data(), wild, checkpoint, first)


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    whole, history = train(data(), SETTINGS)
    checkpoint = Checkpoint(tmp_path / "training.zarr", {})

    class Stop(Exception):
        pass

    class Stopping(Checkpoint):
        def write(self, arrays):
            super().write(arrays)
            if arrays["epoch"] == 6:
                raise Stop

    with pytest.raises(Stop):
        train_resumably(data(), SETTINGS, Stopping(checkpoint.path, {}, seconds=0))
    assert checkpoint.read()["epoch"] == 6
    resumed, again = train_resumably(data(), SETTINGS, checkpoint)
    for name, values in whole.to_arrays().items():
        np.testing.assert_array_equal(resumed.to_arrays()[name], values)
    for name, values in history.items():
        np.testing.assert_array_equal(again[name], values)
