"""How long a call of a simulator may take."""

from __future__ import annotations

from dataclasses import dataclass

# A call of several systems is stopped once it has taken so many times as long as the slowest
# systems so far would take.
_PATIENCE = 10


@dataclass
class CallLimit:
    """The time limit of a call of n systems.

    One system may take T seconds. A call of n may take n T seconds, or C where that is less. Once
    solves have taken up to s seconds each, it may take 10 n s seconds, but no less than T: one
    system that hangs among many quick ones then costs about T, not n T. The systems of a call that
    is stopped are tried one at a time, so that none fails that takes less than T alone.

    Parameters
    ----------
    solve : float
        T.
    call : float, optional
        C, at least T.
    """

    solve: float
    call: float | None = None

    def __post_init__(self) -> None:
        self._slowest: float | None = None

    def seconds(self, count: int) -> float:
        """Return the limit of a call of so many systems."""
        most = count * self.solve
        if count == 1:
            return most
        if self.call is not None:
            most = min(most, self.call)
        if self._slowest is None:
            return most
        return min(most, max(self.solve, _PATIENCE * count * self._slowest))

    def ended(self, count: int, seconds: float) -> None:
        """Take note of a call of so many systems that has ended."""
        self._slowest = max(self._slowest or 0.0, seconds / count)
