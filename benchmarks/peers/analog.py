"""Analog devices and trainings as AIHWKit simulates them, pulse by pulse.

AIHWKit 1.1.0 works with torch 2.10 alone, so that it runs in an environment of its own, which
``benchmarks/peers/analog_environment.sh`` builds. :func:`simulated` calls a function of this module
there. The module is run as a script in that environment, so that it imports nothing of this
package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ENVIRONMENT", "UnusableError", "accuracies", "conductances", "simulated"]

ENVIRONMENT = "POPINV_AIHWKIT"
"""The environment variable with the folder of the environment; ``build/aihwkit`` by default."""

_DEFAULT = Path(__file__).parents[2] / "build/aihwkit"
_CLEAN = (
    "dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down", "up_down_dtod",
    "reset_std", "write_noise_std",
)  # fmt: skip


class UnusableError(RuntimeError):
    """There is no environment with AIHWKit."""


def simulated(function: str, **arguments: Any) -> np.ndarray:
    """Return the result of a function of this module in the environment with AIHWKit.

    Raises
    ------
    UnusableError
        If there is no such environment.
    """
    folder = Path(os.environ.get(ENVIRONMENT, _DEFAULT))
    python = folder / "bin/python"
    if not python.exists():
        raise UnusableError(
            f"no environment with AIHWKit in {folder}; "
            f"benchmarks/peers/analog_environment.sh FOLDER builds it, and {ENVIRONMENT}=FOLDER "
            "says where it is"
        )
    with tempfile.TemporaryDirectory() as temporary:
        given, found = Path(temporary) / "given.npz", Path(temporary) / "found.npy"
        arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
        plain = {k: v for k, v in arguments.items() if k not in arrays}
        np.savez(given, allow_pickle=False, **arrays)
        command = [str(python), __file__, function, json.dumps(plain), str(given), str(found)]
        # The package of the caller's environment would come first otherwise.
        own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"AIHWKit failed in {folder}:\n{done.stderr}")
        return np.load(found)


def conductances(
    reach: float, granularity: float, start: float, changes: np.ndarray, copies: int
) -> np.ndarray:
    """Return conductances after each of a series of increments, shape (len(changes), copies).

    Soft bounds at +-reach without variation from device to device or from cycle to cycle: an
    asymmetric linear device. Increments arrive as stochastic pulses of size ``granularity``.
    """
    import torch
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.configs.devices import SoftBoundsReferenceDevice
    from aihwkit.simulator.parameters.io import IOParameters
    from aihwkit.simulator.parameters.training import UpdateParameters
    from aihwkit.simulator.tiles import AnalogTile

    device = SoftBoundsReferenceDevice(
        w_max=reach, w_min=-reach, dw_min=granularity, construction_seed=1,
        **dict.fromkeys(_CLEAN, 0.0),
    )  # fmt: skip
    exact = IOParameters(is_perfect=True)
    config = SingleRPUConfig(
        device=device,
        forward=exact,
        backward=exact,
        update=UpdateParameters(desired_bl=int(2 * abs(changes).max() / granularity)),
    )
    tile = AnalogTile(copies, 1, config)
    tile.set_weights(torch.full((copies, 1), start))
    tile.set_learning_rate(1.0)
    found = []
    for change in changes:
        # It descends: the increment is minus the product of input and gradient.
        tile.update(torch.ones(1, 1), torch.full((1, copies), -float(change)))
        weights = tile.get_weights()
        found.append((weights[0] if isinstance(weights, tuple) else weights).numpy()[:, 0].copy())
    return np.array(found)


def accuracies(
    method: str,
    reach: float,
    granularity: float,
    rate: float,
    fast_rate: float,
    epochs: int,
    batch: int,
    seed: int,
    first: np.ndarray,
    second: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    tested: np.ndarray,
    tested_labels: np.ndarray,
) -> np.ndarray:
    """Return the test accuracy after each epoch of a dense network of two layers, in per cent.

    Devices are soft bounds at +-reach with AIHWKit's own variations and cycle noise, and reads have
    its own converters and noise, without their management of bounds. One factor for each layer is
    learned.

    Parameters
    ----------
    method : {"analog", "tiki_taka"}
    reach, granularity : float
    rate : float
        Learning rate of analog descent, of Tiki-Taka's transfer, and of the digital parameters.
    fast_rate : float
        Learning rate of Tiki-Taka's gradient.
    epochs, batch, seed : int
    first, second : ndarray
        Weights at the start, (hidden, inputs) and (10, hidden); biases start at 0.
    images, labels, tested, tested_labels : ndarray
    """
    import torch
    from aihwkit.nn import AnalogLinear
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import build_config
    from aihwkit.simulator.configs.devices import SoftBoundsReferenceDevice
    from aihwkit.simulator.parameters.enums import BoundManagementType
    from aihwkit.simulator.parameters.io import IOParameters
    from aihwkit.simulator.parameters.mapping import MappingParameter

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    device = SoftBoundsReferenceDevice(w_max=reach, w_min=-reach, dw_min=granularity)
    reads = IOParameters(bound_management=BoundManagementType.NONE)
    mapping = MappingParameter(learn_out_scaling=True, max_input_size=0, max_output_size=0)
    layers = []
    for number, weight in enumerate((first, second)):
        config = build_config(
            "sgd" if method == "analog" else "ttv1", device, reads,
            construction_seed=100 * seed + number + 1, mapping=mapping,
        )  # fmt: skip
        if method == "tiki_taka":
            config.device.fast_lr = fast_rate
        layer = AnalogLinear(weight.shape[1], weight.shape[0], True, config)
        layer.set_weights(torch.tensor(weight), torch.zeros(len(weight)))
        layers.append(layer)
    network = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])
    optimiser = AnalogSGD(network.parameters(), lr=rate)
    optimiser.regroup_param_groups(network)
    x, y = torch.tensor(images), torch.tensor(labels)
    reached = []
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(x)).split(batch):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            right = network(torch.tensor(tested)).argmax(dim=1) == torch.tensor(tested_labels)
        reached.append(100 * float(right.float().mean()))
    return np.array(reached)


if __name__ == "__main__":
    name, plain, given, found = sys.argv[1:]
    with np.load(given) as loaded:
        arrays = dict(loaded)
    functions: dict[str, Callable[..., np.ndarray]] = {
        "accuracies": accuracies,
        "conductances": conductances,
    }
    np.save(found, functions[name](**json.loads(plain), **arrays))
