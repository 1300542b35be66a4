"""Where a network computes: on a GPU where there is one, or on the processor.

Laws, noise and the sorting of projections stay on the processor; a surrogate on a GPU takes what it
is given there and hands its answers back. Sums are formed in another order on a GPU, so results
agree with those of the processor to rounding, not bit for bit.
"""

from __future__ import annotations

import torch

from popinv.errors import ConfigError

__all__ = ["DEVICES", "device_of"]

DEVICES = ("auto", "cpu", "cuda")


def device_of(asked: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` stands for on this machine.

    Raises
    ------
    ConfigError
        If the name is another one, or a GPU is asked for and torch finds none.
    """
    if asked not in DEVICES:
        raise ConfigError(f"device is '{asked}', allowed: {', '.join(DEVICES)}")
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        built = torch.version.cuda
        why = "finds no GPU" if built else "was built without support for one"
        raise ConfigError(
            f"device is 'cuda', but torch {torch.__version__} {why} on this machine; "
            "'auto' takes the processor then"
        )
    return torch.device("cuda" if there and asked != "cpu" else "cpu")
