"""Finished parts of a long test problem, kept until the whole is done.

A test problem consists of parts that do not depend on each other, such as the paths of one setting
or the training from one seed. Within :func:`keeping` each finished part is stored, so that a job
that was killed loses the part under way alone. A part that takes hours goes on from its last stored
state. Elsewhere, as in tests, parts are computed.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from popinv.store.checkpoints import Checkpoint

# A store takes a third of a second to write. A part that takes less is quicker to compute again.
_WORTH_SECONDS = 2.0
# Save the state of a long part 15 times less often.
_SELDOM = 15


@dataclass
class _Parts:
    """The folder of the parts, what they depend on, and how many were found in it."""

    folder: Path
    config: Mapping[str, Any]
    seconds: float
    found: list[str] = field(default_factory=list)

    def checkpoint(self, name: str) -> Checkpoint:
        file = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.zarr.zip"
        config = {**self.config, "part": name}
        return Checkpoint(self.folder / file, config, _SELDOM * self.seconds)


_PARTS: ContextVar[_Parts | None] = ContextVar("parts", default=None)


@contextmanager
def keeping(
    folder: Path, config: Mapping[str, Any], seconds: float = _WORTH_SECONDS
) -> Iterator[list[str]]:
    """Keep the finished parts of what runs within; they are deleted if it ends without an error.

    Parameters
    ----------
    config : mapping
        All that they depend on: settings, inputs and code. Parts of another one are not used.
    seconds : float
        A part that took less is not stored.

    Yields
    ------
    list of str
        Names of the parts that were found in the folder, in the order of requests.
    """
    parts = _Parts(folder, config, seconds)
    token = _PARTS.set(parts)
    try:
        yield parts.found
    finally:
        _PARTS.reset(token)
    shutil.rmtree(folder, ignore_errors=True)


def kept(name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the arrays of a part: those that are kept, or else computed ones.

    Parameters
    ----------
    name : str
        Name of the part, which says all in which it differs from the other parts.
    compute : callable
        Returns arrays, numbers or texts by name.

    Examples
    --------
    >>> kept("squares", lambda: {"squares": [0, 1, 4]})
    {'squares': array([0, 1, 4])}
    """
    parts = _PARTS.get()
    if parts is None:
        return _arrays(compute())
    checkpoint = parts.checkpoint(name)
    found = checkpoint.read()
    if found is not None:
        parts.found.append(name)
        return found
    start = time.monotonic()
    arrays = _arrays(compute())
    if time.monotonic() - start >= parts.seconds:
        checkpoint.write(arrays)
    return arrays


def kept_numbers(name: str, compute: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """Return the numbers of a part by name, in double precision; see :func:`kept`.

    Examples
    --------
    >>> kept_numbers("sums", lambda: {"of squares": 5})
    {'of squares': 5.0}
    """

    def arrays() -> dict[str, Any]:
        numbers = compute()
        return {"names": list(numbers), "values": [float(number) for number in numbers.values()]}

    found = kept(name, arrays)
    return dict(zip(found["names"].tolist(), found["values"].tolist(), strict=True))


def continued(
    name: str,
    start: Callable[[], Mapping[str, Any]],
    step: Callable[[int, dict[str, np.ndarray]], Mapping[str, Any]],
    count: int,
    unit: str = "step",
) -> dict[str, np.ndarray]:
    """Return the state of a long part after its last step, from the last stored state on.

    Parameters
    ----------
    name : str
        Name of the part; see :func:`kept`.
    start : callable
        Returns the state before the first step: arrays, numbers or texts by name.
    step : callable
        Maps k and the state after k steps to the state after k + 1 steps. It depends on nothing
        else that changes from step to step.
    unit : str
        What the progress bar counts.

    Examples
    --------
    >>> continued("doubled", lambda: {"x": 1}, lambda k, state: {"x": 2 * state["x"]}, 3)
    {'x': array(8)}
    """
    parts = _PARTS.get()
    checkpoint = None if parts is None else parts.checkpoint(name)
    found = None if checkpoint is None else checkpoint.read()
    if parts is not None and found is not None:
        parts.found.append(name)
        done, state = int(found.pop("_steps")), found
    else:
        done, state = 0, _arrays(start())
    began = time.monotonic()
    bar = tqdm(initial=done, total=count, desc=name, unit=unit, disable=None, mininterval=1)
    with bar:
        for k in range(done, count):
            state = _arrays(step(k, state))
            bar.update()
            if checkpoint is not None and k + 1 < count:
                checkpoint.write_when_due({**state, "_steps": np.array(k + 1)})
    worth = parts is not None and time.monotonic() - began >= parts.seconds
    if checkpoint is not None and done < count and worth:
        checkpoint.write({**state, "_steps": np.array(count)})
    return state


def _arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
