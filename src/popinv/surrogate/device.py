"""Choice of the device on which a network computes: a GPU or the processor.

Laws, noise and the sorting of projections stay on the processor. A surrogate on a GPU copies its
inputs there and copies its outputs back. A GPU sums in another order than the processor, so results
agree to rounding, not bit for bit.
"""

from __future__ import annotations

from popinv.errors import ConfigError
from popinv.late import torch
from popinv.workers import keep_alone

DEVICES = ("auto", "cpu", "cuda")


def device_of(asked: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means on this machine.

    For a GPU, loops are not shared among processes.

    Raises
    ------
    ConfigError
        If the name is unknown, or if the name requests a GPU and torch finds none.
    """
    if asked not in DEVICES:
        raise ConfigError(f"device is '{asked}', allowed: {', '.join(DEVICES)}")
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        built = torch.backends.cuda.is_built()
        why = "finds no GPU" if built else "was built without support for one"
        raise ConfigError(
            f"device is 'cuda', but torch {torch.__version__} {why} on this machine; "
            "'auto' takes the processor then"
        )
    if not there or asked == "cpu":
        return torch.device("cpu")
    keep_alone()
    return torch.device("cuda")
