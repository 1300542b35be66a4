"""Where a network computes, and that it does not matter.

What runs on a GPU runs here on a pretended one too (``pretended_gpu``): a tensor that meets one of
the processor there is an error, as on a real one, and the numbers have to be the processor's.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended_gpu import pretended_gpu
from tiers import parameters

from popinv import workers
from popinv.errors import ConfigError
from popinv.surrogate.artefact import surrogate_dataset, surrogate_of
from popinv.surrogate.device import device_of
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import (
    TrainingData,
    TrainingSettings,
    TrainingState,
    prepare,
    train,
)
from popinv_papers.instance_unlearning.solves import withdraw_solves

SETTINGS = TrainingSettings(seed=3, hyperparameters={"width": 32, "depth": 2}, max_epochs=4)


@pytest.fixture(autouse=True)
def later_loops_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo that a process in which a GPU was used runs all loops itself."""
    monkeypatch.setattr(workers, "_alone", workers._alone)


def data(rows: int = 130) -> TrainingData:
    z = np.random.default_rng(1).standard_normal((rows, 4))
    z[:, 0] = np.exp(z[:, 0])
    y = np.stack([np.sin(z).sum(axis=1), z[:, 2] * z[:, 1]], axis=1)
    return TrainingData(z, y, weights=np.linspace(1, 2, rows))


def settings(**changes) -> TrainingSettings:
    """Return settings that go through every branch of a training."""
    return SETTINGS.replace(
        whitening=np.array([[2.0, 0.0], [0.5, 1.0]]),
        logarithmic=(True, False, False, False),
        **changes,
    )


def moved(surrogate: Surrogate, device: torch.device) -> Surrogate:
    return replace(surrogate, network=copy.deepcopy(surrogate.network).to(device))


def places(network: torch.nn.Module) -> set[str]:
    return {tensor.device.type for tensor in (*network.parameters(), *network.buffers())}


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


def test_initial_weights_leave_the_generators_of_gpus_alone(monkeypatch):
    def seeded(seed: int) -> None:
        raise AssertionError("the generators of all GPUs were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    prepare(data(), SETTINGS)


def test_a_checkpoint_fits_a_training_on_another_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = prepare(data(), SETTINGS).fingerprint
    assert here == prepare(data(), SETTINGS.replace(device="auto")).fingerprint
    assert here != prepare(data(), SETTINGS.replace(batch_size=32)).fingerprint


def test_the_pretended_gpu_keeps_its_tensors_apart():
    with pretended_gpu() as device:
        here = torch.arange(3.0)
        there = torch.as_tensor(np.arange(3.0), dtype=torch.float32, device=device)
        for mixed in (
            lambda: here + there,
            lambda: there * here,
            lambda: torch.cat([there, here]),
            lambda: there[torch.tensor([0, 2])],
            lambda: here[torch.zeros(1, dtype=torch.int64, device=device)],
            lambda: there.add_(here),
            lambda: torch.nn.functional.linear(here, there[None]),
        ):
            with pytest.raises(RuntimeError, match="on the same device"):
                mixed()
        for read in (there.numpy, lambda: np.asarray(there)):
            with pytest.raises(RuntimeError, match="not supported"):
                read()
        # One number may come from anywhere, and whole tensors may be copied.
        assert (there * torch.tensor(2.0)).sum().item() == 6.0
        assert torch.equal(there.cpu(), here)
        here.copy_(there + 1)
        assert here.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.full
def test_a_network_trained_on_a_gpu_is_that_of_the_processor(elsewhere):
    there = settings(device="cuda")
    assert places(prepare(data(), there).network) == {elsewhere.device.type}
    # Sums in float32, in another order: they differ by 1e-7 each, and eight updates spread that.
    ours, history = train(data(), there, progress=False)
    theirs, expected = train(data(), settings(), progress=False)
    elsewhere.agree(history["training_loss"], expected["training_loss"], 1e-4)
    elsewhere.agree(history["validation_loss"], expected["validation_loss"], 1e-4)
    assert places(ours.network) == {"cpu"}
    z = data().z[:50]
    elsewhere.agree(ours.predict(z), theirs.predict(z), 1e-3)


@pytest.mark.full
@parameters("devices", [("cpu", "cuda")], full=[("cuda", "cpu")])
def test_an_interrupted_training_goes_on_on_another_device(elsewhere, devices):
    states: list[TrainingState] = []
    first, second = (settings(device=device) for device in devices)
    train(data(), first, checkpoint=states.append, progress=False)
    ours, _ = train(data(), second, resume=states[1], progress=False)
    theirs, _ = train(data(), settings(), progress=False)
    z = data().z[:50]
    elsewhere.agree(ours.predict(z), theirs.predict(z), 1e-3)


@pytest.mark.full
@parameters("devices", [("cuda", "cpu")], full=[("cpu", "cuda")])
def test_a_training_starts_from_a_surrogate_of_another_device(elsewhere, devices):
    before, _ = train(data(), settings(max_epochs=1), progress=False)
    initial = moved(before, elsewhere.device) if devices[0] == "cuda" else before
    ours, _ = train(data(), settings(device=devices[1]), initial, progress=False)
    theirs, _ = train(data(), settings(), before, progress=False)
    z = data().z[:50]
    elsewhere.agree(ours.predict(z), theirs.predict(z), 1e-3)


def test_answers_and_gradients_on_a_gpu_are_those_of_the_processor(elsewhere):
    surrogate, _ = train(data(), settings(), progress=False)
    answers = []
    for each in (moved(surrogate, elsewhere.device), surrogate):
        z = torch.from_numpy(data().z[:50]).requires_grad_(True)
        y = each(z)
        (gradient,) = torch.autograd.grad(y.sum(), z)
        assert y.device.type == gradient.device.type == "cpu"
        some = each.of_outputs(np.array([0])).predict(data().z[:50])
        whole = each.predict(data().z[:50], rows=20)
        answers.append((y.detach().numpy(), gradient.numpy(), whole, some))
    for there, here in zip(*answers, strict=True):
        elsewhere.agree(there, here, 1e-5)


def test_a_surrogate_is_stored_from_a_gpu_and_loaded_onto_it(elsewhere):
    surrogate, history = train(data(), settings(), progress=False)
    stored = surrogate_dataset(moved(surrogate, elsewhere.device), history, {})
    assert stored.identical(surrogate_dataset(surrogate, history, {}))
    assert places(surrogate_of(stored, "cuda").network) == {elsewhere.device.type}
    assert places(surrogate_of(stored).network) == {"cpu"}


@pytest.mark.full
def test_solves_are_withdrawn_on_a_gpu_as_on_the_processor(elsewhere):
    there, here = (
        withdraw_solves(data(40), settings(max_epochs=2, device=device), 1e-3, 2)
        for device in ("cuda", "cpu")
    )
    elsewhere.agree(there[1], here[1], 1e-3)
    for ours, theirs in zip(there[0], here[0], strict=True):
        elsewhere.agree(ours.trained, theirs.trained, 1e-3)
