"""Analog devices as AIHWKit simulates them, pulse by pulse."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["UnusableError", "aihwkit_conductances"]

_CLEAN = (
    "dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down", "up_down_dtod",
    "reset_std", "write_noise_std",
)  # fmt: skip


class UnusableError(RuntimeError):
    """AIHWKit is installed, but was compiled for another torch than the one here."""


def aihwkit_conductances(
    reach: float, granularity: float, start: float, changes: np.ndarray, copies: int
) -> np.ndarray:
    """Return conductances after each of a series of increments, shape (len(changes), copies).

    Soft bounds at +-reach without variation from device to device or from cycle to cycle: an
    asymmetric linear device. Increments arrive as stochastic pulses of size ``granularity``.
    """
    try:
        from aihwkit.simulator.configs import SingleRPUConfig
        from aihwkit.simulator.configs.devices import SoftBoundsReferenceDevice
        from aihwkit.simulator.parameters.io import IOParameters
        from aihwkit.simulator.parameters.training import UpdateParameters
        from aihwkit.simulator.tiles import AnalogTile
    except ImportError as error:
        raise UnusableError(f"AIHWKit does not load with this torch: {error}") from error

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
    try:
        tile.set_weights(torch.full((copies, 1), start))
    except RuntimeError as error:
        raise UnusableError(f"AIHWKit does not take the tensors of this torch: {error}") from error
    tile.set_learning_rate(1.0)
    conductances = []
    for change in changes:
        # It descends: the increment is minus the product of input and gradient.
        tile.update(torch.ones(1, 1), torch.full((1, copies), -float(change)))
        weights = tile.get_weights()
        conductances.append(
            (weights[0] if isinstance(weights, tuple) else weights).numpy()[:, 0].copy()
        )
    return np.array(conductances)
