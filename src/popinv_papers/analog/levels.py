"""The errors of an analog accelerator, and the levels at which they are tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorKind:
    """A kind of error, in words: its levels from harmless to harmful, and whether it is random."""

    words: str
    levels: tuple[float, ...]
    unit: str
    drawn: bool = True

    @property
    def in_bits(self) -> bool:
        """Whether levels are numbers of bits, of which few are harmful."""
        return self.unit == "bits"

    def place(self, level: float) -> float:
        """Return where a level is on an axis on which errors grow: its logarithm, or bits."""
        return -level if self.in_bits else math.log(level)

    def level(self, place: float) -> float:
        """Return the level at a place."""
        return -place if self.in_bits else math.exp(place)


ERRORS: Mapping[str, ErrorKind] = {
    "programming": ErrorKind(
        "programming error", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "of the largest weight"
    ),
    "drift": ErrorKind("age of the weights", (0.006, 0.01, 0.1, 1.0, 24.0, 720.0), "hours"),
    "converters": ErrorKind("converters of at least", (16, 14, 12, 10, 8, 6), "bits", drawn=False),
    "read_noise": ErrorKind(
        "read noise", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "of the converters' range"
    ),
}
