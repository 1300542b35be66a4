"""Functions that solve one system, not a table of systems."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.checks import unmasked
from popinv.forward.inputs.shape import of_system
from popinv.forward.python.derivatives import NotNumbers, table

Function = Callable[..., Any]

HINT = (
    "It works for one system, given a row of shape (number of parameters,): set "
    "'forward.vectorised: false', or let it take a table with a row for each system"
)
_SEED, _SEEDS = "seed", "seeds"


def over_systems(function: Function) -> Function:
    """Return a function of a table of systems, for one that takes a single system.

    Parameters
    ----------
    function : callable
        Takes z (d_z,), and ``design`` (d_design,), a whole number ``seed``, ``jacobian`` and
        ``times`` if it has such arguments, and ``inputs``, the events of the system alone. Returns
        y (d_y,), or y and its Jacobian (d_y, d_z).

    Returns
    -------
    callable
        Takes z (n, d_z), ``design`` (n, d_design), ``inputs`` with a row for each system, ``seeds``
        (n,), and the rest as it is; ``times`` may also have a row for each system.
        Returns y (n, d_y), or y and J (n, d_y, d_z).

    Examples
    --------
    >>> over_systems(lambda z: [z.sum(), z[0]])(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[3., 1.],
           [7., 3.]])
    """
    names = _arguments(function)

    def of_table(z: Any, **keywords: Any) -> Any:
        results = []
        for i, row in enumerate(z):
            given = dict(keywords)
            if _SEEDS in given:
                given[_SEED] = int(given.pop(_SEEDS)[i])
            if "design" in given:
                given["design"] = given["design"][i]
            if "inputs" in given:
                given["inputs"] = of_system(given["inputs"], i)
            if np.ndim(given.get("times", 0)) == 2:
                given["times"] = given["times"][i]
            results.append(function(row, **given))
        pairs = [isinstance(result, tuple) and len(result) == 2 for result in results]
        if all(pairs):
            return tuple(_stacked([result[k] for result in results], k + 1) for k in (0, 1))
        return _stacked(results, 1)

    kind = inspect.Parameter.KEYWORD_ONLY
    same = ("design", "inputs", "jacobian", "times")
    known = {_SEED: _SEEDS, **dict(zip(same, same, strict=True))}
    of_table.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("z", inspect.Parameter.POSITIONAL_ONLY),
            *(inspect.Parameter(known[name], kind) for name in known if name in names),
        ]
    )
    return of_table


def works_for_one(function: Function, z: np.ndarray, width: int) -> bool:
    """Return whether a function returns a row of ``width`` numbers for one system.

    Parameters
    ----------
    function : callable
        It has failed for a table.
    z : ndarray of shape (d_z,)
        With the design of the system, if any.
    """
    with contextlib.suppress(Exception, SystemExit):
        result = function(z)
        values = table(result[0] if isinstance(result, tuple) else result)
        return values.shape == (width,) and bool(np.isfinite(values).all())
    return False


def _arguments(function: Function) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # compiled functions need not have a signature
        return set()


def _stacked(results: list[Any], dimensions: int) -> Any:
    """Return the results of all systems as an array, or as a tensor where they are tensors."""
    results = unmasked(results)
    tensors = bool(results) and hasattr(results[0], "requires_grad")
    if dimensions == 1 and all(np.shape(result) == () for result in results):
        results = [result.reshape(1) if tensors else [result] for result in results]
    shapes = [tuple(np.shape(result)) for result in results]
    wrong = [shape for shape in shapes if len(shape) != dimensions or shape != shapes[0]]
    if wrong:
        what = "observations of one system, (number of observations,)"
        if dimensions == 2:
            what = "Jacobian of one system, (number of observations, number of parameters)"
        others = f" and {wrong[0]}" if wrong[0] != shapes[0] else ""
        raise NotNumbers(
            f"the function returned arrays of shape {shapes[0]}{others}, but with 'vectorised: "
            f"false' it returns the {what}"
        )
    if tensors:
        import torch  # only functions of tensors need it

        return torch.stack(results)
    return np.array(results)
