"""Where a network computes, and that it does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.errors import ConfigError
from popinv.surrogate.device import device_of
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare, train

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
SETTINGS = TrainingSettings(
    seed=3, hyperparameters={"kind": "mlp", "width": 32, "depth": 2}, max_epochs=5
)


def data() -> TrainingData:
    z = np.random.default_rng(1).standard_normal((300, 4))
    return TrainingData(z, np.stack([np.sin(z).sum(axis=1), z[:, 0] * z[:, 1]], axis=1))


@pytest.mark.parametrize(
    ("asked", "there", "given"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_a_gpu_is_taken_where_there_is_one_unless_refused(monkeypatch, asked, there, given):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of(asked).type == given


def test_a_gpu_that_is_not_there_and_a_wrong_name_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"'cuda', but torch .* on this machine"):
        device_of("cuda")
    with pytest.raises(ConfigError, match="device is 'gpu', allowed: auto, cpu, cuda"):
        device_of("gpu")


def test_a_checkpoint_fits_a_training_on_another_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = prepare(data(), SETTINGS).fingerprint
    assert here == prepare(data(), replace(SETTINGS, device="auto")).fingerprint
    assert here != prepare(data(), replace(SETTINGS, batch_size=32)).fingerprint


@GPU
def test_a_network_trained_on_a_gpu_is_that_of_the_processor():
    # Sums in float32, in another order: they differ by 1e-7 each, and 25 updates spread that.
    ours, history = train(data(), replace(SETTINGS, device="cuda"), progress=False)
    theirs, expected = train(data(), SETTINGS, progress=False)
    np.testing.assert_allclose(history["training_loss"], expected["training_loss"], rtol=1e-4)
    z = data().z[:50]
    np.testing.assert_allclose(ours.predict(z), theirs.predict(z), rtol=1e-3, atol=1e-3)


@GPU
def test_answers_and_gradients_on_a_gpu_are_those_of_the_processor():
    surrogate, _ = train(data(), SETTINGS, progress=False)
    answers = []
    for device in ("cpu", "cuda"):
        surrogate.network.to(device)
        z = torch.from_numpy(data().z[:50]).requires_grad_(True)
        y = surrogate(z)
        (gradient,) = torch.autograd.grad(y.sum(), z)
        assert y.device.type == gradient.device.type == "cpu"
        answers.append((y.detach().numpy(), gradient.numpy()))
    for here, there in zip(*answers, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)
