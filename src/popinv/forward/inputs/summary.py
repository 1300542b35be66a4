"""A few numbers of the inputs over time of a system, in the place of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from popinv.forward.inputs.shape import PRESENT, InputsShape
from popinv.late import torch


class InputsSummary:
    """The summary of inputs over time that a surrogate learns from.

    Parameters
    ----------
    shape : InputsShape
    statistics : sequence of {"count", "last_time", "total", "mean", "values"}
        The number of events; the time of the last one; the sum and the mean of each quantity except
        for the time; all padded numbers.

    Examples
    --------
    >>> summary = InputsSummary(InputsShape(("time", "amount"), 3), ["count", "total", "mean"])
    >>> summary.of(torch.tensor([[0.5, 2, 0, 4, 4, 5.0, 7.0, 0]])).tolist()
    [[0.5, 2.0, 12.0, 6.0]]
    """

    def __init__(self, shape: InputsShape, statistics: Sequence[str]) -> None:
        self._shape, self._statistics = shape, tuple(statistics)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Plain values from which :meth:`from_plain` restores the summary."""
        shape = [list(self._shape.quantities), self._shape.count]
        return {"shape": shape, "statistics": list(self._statistics)}

    @classmethod
    def from_plain(cls, given: dict[str, Any]) -> InputsSummary:
        """Return the summary of :attr:`hyperparameters`."""
        quantities, count = given["shape"]
        return cls(InputsShape(tuple(quantities), count), given["statistics"])

    @property
    def replaced(self) -> int:
        """How many of the last inputs of the simulator the summary takes the place of."""
        return self._shape.width

    @property
    def width(self) -> int:
        """How many numbers the summary has."""
        others = len(self._shape.quantities) - 1
        widths = {"count": 1, "last_time": 1, "total": others, "mean": others}
        return sum(widths.get(each, self._shape.width) for each in self._statistics)

    def of(self, z: torch.Tensor) -> torch.Tensor:
        """Return inputs (n, d) of the simulator with the summary at the end."""
        numbers = z[..., -self.replaced :]
        return torch.cat([z[..., : -self.replaced], self._numbers(numbers)], dim=-1)

    def along(self, tangents: torch.Tensor) -> torch.Tensor:
        """Return tangents (..., d) as changes of these; inputs over time do not change."""
        moved = tangents[..., : -self.replaced]
        return torch.nn.functional.pad(moved, (0, self.width))

    def _numbers(self, numbers: torch.Tensor) -> torch.Tensor:
        parts = self._shape.apart(numbers)
        present = parts.pop(PRESENT)
        time, *others = parts.values()
        count = present.sum(dim=-1, keepdim=True).to(numbers.dtype)
        sums = [torch.where(present, each, 0.0).sum(dim=-1, keepdim=True) for each in others]
        found = {
            "count": [count],
            "last_time": [torch.where(count > 0, time[..., -1:], 0.0)],
            "total": sums,
            "mean": [each / count.clamp(min=1.0) for each in sums],
            "values": [numbers],
        }
        return torch.cat([each for name in self._statistics for each in found[name]], dim=-1)
