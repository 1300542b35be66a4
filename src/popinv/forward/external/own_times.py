"""A function of ``times`` that returns the observations of each system at its own times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from popinv.forward.external.observations import SimulatorObservations
from popinv.forward.inputs.shape import InputsShape
from popinv.forward.python.worker import takes, with_design
from popinv.late import torch

# Rows, times and events of a call that solves systems with different times at the times of all of
# them: so many numbers take about as long as a further call.
_TOGETHER = 20_000
# Rows by which is tried what times a function takes, and the relative difference of answers that
# are the same but for rounding, perhaps in single precision.
_TRIED, _SAME = 3, 1e-6


class AtOwnTimes:
    """The observations of each row of inputs at some of all times.

    A function that takes ``times`` of shape (n, m) solves n systems in one call, each at its own
    times. Another takes ``times`` of shape (k,): a call solves the rows with the same times, or few
    rows with different times at all times of these. The first call tries which it is: the answers
    for a few rows in one call must be those for each row by itself.

    Parameters
    ----------
    function : callable
        Maps inputs, a Tensor (n, d_z), and ``times`` to observations (n, entries k), where the
        times of the first entry come first.
    times : sequence of float
        All T times of any system.
    events : int
        Number of events of the inputs over time, which multiply the size of a call.
    """

    def __init__(
        self, function: Callable[..., torch.Tensor], times: Sequence[float], events: int = 1
    ) -> None:
        self._function, self._times = function, np.asarray(times, float)
        self._events = events
        self._of_each_row: bool | None = None

    @classmethod
    def of_table(
        cls,
        function: Callable[..., torch.Tensor],
        design: int,
        observations: SimulatorObservations,
        inputs: InputsShape | None = None,
    ) -> AtOwnTimes | None:
        """Return the observations of a user's function; None if it solves all times alike.

        Parameters
        ----------
        function : callable
            It takes parameters, and ``design`` and ``times`` if it has such arguments.
        design : int
            Number of entries of the design.
        inputs : InputsShape, optional
            The inputs over time.
        """
        times = observations.asked_times()
        if times is None or observations.simulated_times or not takes(function, "times"):
            return None
        events = 1 if inputs is None else inputs.count
        return cls(with_design(function, design, None, inputs), times, events)

    def __call__(self, z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        """Return the observations (n, m) at these places (n, m) among the entries at all times."""
        if self._of_each_row is None:
            self._of_each_row = self._takes_rows(z, places)
        return (self._together if self._of_each_row else self._apart)(z, places)

    def _takes_rows(self, z: torch.Tensor, places: np.ndarray) -> bool:
        """Return whether the function takes a row of times for each system, which is tried."""
        rows = np.arange(_TRIED)
        z, places = z[rows % len(z)].detach(), places[rows % len(places)]
        # The rows have different times, so that an answer at the times of one row fits no other.
        places = np.sort((places + rows[:, None]) % self._count(places), axis=1)
        with torch.no_grad(), contextlib.suppress(Exception):  # a function fails as it likes
            tried = self._together(z, places)
            single = [self._at_all(z[i : i + 1], places[i : i + 1]) for i in rows]
            whole = torch.cat(single)
            size = _SAME * float(whole.nan_to_num().abs().max())
            return torch.allclose(tried, whole, rtol=_SAME, atol=size, equal_nan=True)
        return False

    def _count(self, places: np.ndarray) -> int:
        """Return the number of all entries, as far as these places tell."""
        return len(self._times) * (1 + int(places.max()) // len(self._times))

    def _together(self, z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        entry, index = np.divmod(places, len(self._times))
        y = self._function(z, times=self._times[index])
        own = entry * places.shape[1] + np.arange(places.shape[1])
        return y.gather(1, torch.from_numpy(own))

    def _apart(self, z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        """Return the observations by calls for rows with the same places, or for few rows."""
        if not len(z):
            return z.new_zeros(places.shape)
        # The rows of a system come one after the other, and may come several times.
        first = np.flatnonzero(np.r_[True, (places[1:] != places[:-1]).any(axis=1)])
        alike, of_run = np.unique(places[first], axis=0, return_inverse=True)
        number = np.repeat(of_run.reshape(-1), np.diff(np.r_[first, len(places)]))
        y, order = [], np.argsort(number, kind="stable")
        ends = np.searchsorted(number[order], np.arange(len(alike) + 1))
        for some in self._calls(alike, ends):
            rows = order[ends[some.start] : ends[some.stop]]
            y.append(self._at_all(z[torch.from_numpy(rows)], places[rows]))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return torch.cat(y)[torch.from_numpy(back)]

    def _calls(self, alike: np.ndarray, ends: np.ndarray) -> Iterator[slice]:
        """Yield which of the different places (k, m) belong to one call.

        Parameters
        ----------
        ends : ndarray of int, shape (k + 1,)
            The first row with these places, if rows are sorted by their places.
        """
        left = [slice(0, len(alike))]
        while left:
            some = left.pop()
            times = len(np.unique(alike[some] % len(self._times)))
            size = (ends[some.stop] - ends[some.start]) * times * self._events
            if some.stop - some.start == 1 or size <= _TOGETHER:
                yield some
                continue
            half = (some.start + some.stop) // 2
            left += [slice(half, some.stop), slice(some.start, half)]

    def _at_all(self, z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        """Return the observations by one call at all times of these rows."""
        entry, index = np.divmod(places, len(self._times))
        asked, at = np.unique(index, return_inverse=True)
        y = self._function(z, times=self._times[asked])
        own = entry * len(asked) + at.reshape(index.shape)
        return y.gather(1, torch.from_numpy(own))
