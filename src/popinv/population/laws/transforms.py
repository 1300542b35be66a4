"""Monotone maps from the real line to the range of a parameter.

A parameter z of a Gaussian law is ``z = t(x)`` with x normal: the identity gives a normal
parameter, the exponential a lognormal one, and the logistic function a logit-normal one on a
bounded interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Transform:
    """A map t from the real line to the range of a parameter.

    Parameters
    ----------
    kind : {"none", "log", "logit"}
        The inverse of t: none for ``z = x``, log for ``z = exp x``, logit for
        ``z = low + (high - low) / (1 + exp(-x))``.
    low, high : float
        The ends of the interval of a logit.
    """

    kind: Literal["none", "log", "logit"]
    low: float = 0.0
    high: float = 1.0

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return z = t(x)."""
        if self.kind == "log":
            return torch.exp(x)
        if self.kind == "logit":
            return self.low + (self.high - self.low) * torch.sigmoid(x)
        return x

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return x = t^{-1}(z)."""
        if self.kind == "log":
            return torch.log(z)
        if self.kind == "logit":
            return torch.logit((z - self.low) / (self.high - self.low))
        return z

    def log_slope(self, x: torch.Tensor) -> torch.Tensor:
        """Return log dz/dx at x."""
        if self.kind == "log":
            return x
        if self.kind == "logit":
            width = torch.log(torch.as_tensor(self.high - self.low, dtype=x.dtype))
            logistic = torch.nn.functional.logsigmoid
            return width + logistic(x) + logistic(-x)
        return torch.zeros_like(x)


NONE, LOG = Transform("none"), Transform("log")


def logit(low: float, high: float) -> Transform:
    """Return the transform of a parameter between low and high."""
    return Transform("logit", low, high)


def bounded_columns(transforms: Sequence[Transform], x: torch.Tensor) -> torch.Tensor:
    """Return z for x (..., d_z), column by column."""
    columns = zip(transforms, x.unbind(dim=-1), strict=True)
    return torch.stack([transform.bounded(column) for transform, column in columns], dim=-1)


def unbounded_columns(transforms: Sequence[Transform], z: torch.Tensor) -> torch.Tensor:
    """Return x for z (..., d_z), column by column."""
    columns = zip(transforms, z.unbind(dim=-1), strict=True)
    return torch.stack([transform.unbounded(column) for transform, column in columns], dim=-1)
