"""Messages of sites: sums over systems by name, as one vector of numbers.

The sum of the vectors of several sites is the vector of all their systems. Symmetric matrices are
sent as their upper triangles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Message = Mapping[str, np.ndarray]
"""Numbers (), vectors (k,) and symmetric matrices (k, k) by name."""


def packed(message: Message) -> np.ndarray:
    """Return a message as one vector.

    Examples
    --------
    >>> packed({"count": np.array(3.0), "squares": np.array([[1.0, 2.0], [2.0, 5.0]])})
    array([3., 1., 2., 5.])
    """
    return np.concatenate([_flat(np.asarray(array, dtype=float)) for array in message.values()])


def unpacked(vector: np.ndarray, like: Message) -> dict[str, np.ndarray]:
    """Return the message of a vector, with names and shapes like those of another message."""
    message: dict[str, np.ndarray] = {}
    at = 0
    for name, example in like.items():
        shape = np.shape(example)
        if len(shape) == 2:
            rows, columns = np.triu_indices(shape[0])
            array: np.ndarray = np.zeros(shape)
            array[rows, columns] = array[columns, rows] = vector[at : at + len(rows)]
            at += len(rows)
        else:
            size = int(np.prod(shape))
            array = np.asarray(vector[at : at + size]).reshape(shape)
            at += size
        message[name] = array
    return message


def _flat(array: np.ndarray) -> np.ndarray:
    return array[np.triu_indices(len(array))] if array.ndim == 2 else array.reshape(-1)
