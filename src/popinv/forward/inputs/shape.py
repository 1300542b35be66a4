r"""The padded form of inputs over time, in which they travel beside the parameters.

The events of system n are rows ``(t_k, u_k)``, k = 1, ..., K_n, with a time and q - 1 further
quantities. All systems have room for K events. The numbers of a system are

.. math:: (K_n,\; t_1, \dots, t_K,\; u_{11}, \dots, u_{1K},\; u_{21}, \dots),

q K + 1 in all. They are known quantities of the system (:mod:`popinv.population.known`), the last
ones of its design. After the last event its time is repeated; so are the values of a series, and
amounts and durations are zero. A sum over all K events is then one over the events of the system.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Statistic = Literal["count", "last_time", "total", "mean", "values"]
"""What a surrogate may learn of the inputs (:mod:`popinv.forward.inputs.summary`)."""
_PREFIX = "inputs."
PRESENT = "present"
"""The name of the mask of the events of each system."""


@dataclass(frozen=True)
class InputsShape:
    """The quantities of each event, and the room for events.

    Parameters
    ----------
    quantities : tuple of str, length q
        The time, and the others.
    count : int
        K.
    """

    quantities: tuple[str, ...]
    count: int

    @property
    def width(self) -> int:
        """How many numbers a system has."""
        return 1 + len(self.quantities) * self.count

    def names(self) -> tuple[str, ...]:
        """Return the names of the numbers of a system, which no other quantity can have.

        Examples
        --------
        >>> InputsShape(("time", "amount"), 1).names()
        ('inputs.events', 'inputs.time_1', 'inputs.amount_1')
        """
        counted = range(1, self.count + 1)
        each = (f"{name}_{k}" for name in self.quantities for k in counted)
        return f"{_PREFIX}events", *(f"{_PREFIX}{name}" for name in each)

    @classmethod
    def of_names(cls, names: Iterable[str]) -> InputsShape | None:
        """Return the form whose numbers are among the entries of a design; None without inputs."""
        own = [name.removeprefix(_PREFIX) for name in names if is_of_inputs(name)]
        if not own:
            return None
        quantities = tuple(dict.fromkeys(name.rpartition("_")[0] for name in own[1:]))
        return cls(quantities, (len(own) - 1) // len(quantities))

    def padded(self, events: np.ndarray, zeros: bool) -> np.ndarray:
        """Return the numbers (q K + 1,) of the events (k, q) of a system.

        Parameters
        ----------
        zeros : bool
            Whether padded events have zeros in place of the last values, except for the time.

        Examples
        --------
        >>> InputsShape(("time", "amount"), 3).padded(np.array([[0, 5], [2, 7]]), True).tolist()
        [2.0, 0.0, 2.0, 2.0, 5.0, 7.0, 0.0]
        """
        held = np.zeros((self.count, len(self.quantities)))
        number = len(events)
        if number:
            held[:number], held[number:] = events, events[-1]
        if zeros:
            held[number:, 1:] = 0.0
        return np.concatenate([[number], held.T.ravel()])

    def events_of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the events (k, q) of a system from its numbers (q K + 1,).

        Examples
        --------
        >>> shape = InputsShape(("time", "amount"), 3)
        >>> shape.events_of(shape.padded(np.array([[0, 5], [2, 7]]), True)).tolist()
        [[0.0, 5.0], [2.0, 7.0]]
        """
        return numbers[1:].reshape(len(self.quantities), self.count).T[: int(numbers[0])]

    def apart(self, numbers: Any) -> dict[str, Any]:
        """Return the quantities (..., K) by name from the numbers (..., q K + 1) of systems.

        Parameters
        ----------
        numbers : ndarray or Tensor

        Returns
        -------
        dict of str to ndarray or Tensor
            Also ``present``, which is True for the events of a system.
        """
        parts = {
            each: numbers[..., 1 + i * self.count : 1 + (i + 1) * self.count]
            for i, each in enumerate(self.quantities)
        }
        if hasattr(numbers, "requires_grad"):
            import torch  # only functions of tensors need it

            counted: Any = torch.arange(self.count, device=numbers.device)
        else:
            counted = np.arange(self.count)
        return {**parts, PRESENT: counted < numbers[..., :1]}


def is_of_inputs(name: str) -> bool:
    """Return whether an entry of a design, of this name, is a number of inputs over time."""
    return name.startswith(_PREFIX)


def of_system(inputs: dict[str, Any], row: int) -> Any:
    """Return the events of one system of a table, without padding.

    Parameters
    ----------
    inputs : dict of str to ndarray or Tensor
        From :meth:`InputsShape.apart`, each of shape (n, K).

    Returns
    -------
    ndarray with named columns, shape (K_n,), or dict of str to Tensor (K_n,)

    Examples
    --------
    >>> shape = InputsShape(("time", "rain"), 3)
    >>> of_system(shape.apart(np.array([[2.0, 0, 1, 1, 5, 7, 7]])), 0)["rain"].tolist()
    [5.0, 7.0]
    """
    number = int(inputs[PRESENT][row].sum())
    parts = {each: held[row][:number] for each, held in inputs.items() if each != PRESENT}
    if any(hasattr(each, "requires_grad") for each in parts.values()):
        return parts
    events = np.zeros(number, dtype=[(each, float) for each in parts])
    for each, held in parts.items():
        events[each] = held
    return events
