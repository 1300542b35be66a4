"""Where a network computes: on a GPU where there is one, or on the processor.

Laws, noise and the sorting of projections stay on the processor; a surrogate on a GPU takes what it
is given there and hands its answers back. Sums are formed in another order on a GPU, so results
agree with those of the processor to rounding, not bit for bit.

Left to itself, torch lets a GPU round the factors of convolutions, which a Fourier operator is made
of, to ten bits (TF32) and take algorithms that answer differently each time. Both are turned off
where a GPU is chosen: central differences through a network need its full single precision, and a
run that is repeated should give the same bits.
"""

from __future__ import annotations

import torch

from popinv.errors import ConfigError

__all__ = ["DEVICES", "device_of"]

DEVICES = ("auto", "cpu", "cuda")


def device_of(asked: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` stands for on this machine.

    If it is a GPU, torch is told, for the whole process, to convolve there in full precision and
    always in the same way.

    Raises
    ------
    ConfigError
        If the name is another one, or a GPU is asked for and torch finds none.
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
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda")
