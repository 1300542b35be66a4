"""Messages between the workflow's process and the process of the user's function.

A message is one line of JSON and the bytes of its arrays: reading it gives text and numbers and
runs no code, whatever the other side has sent.
"""

from __future__ import annotations

import json
import math

import numpy as np

# Kinds of messages.
ASKED, READY, UNUSABLE, NUMBERS, FAILED = "asked", "ready", "unusable", "numbers", "failed"

_DTYPES = ("<f8", "<i8")


def pack(kind: str, text: str = "", *arrays: np.ndarray) -> bytes:
    """Return a message of a kind, with a text and arrays of float64 or int64."""
    head = {"kind": kind, "text": text, "arrays": [[a.dtype.str, a.shape] for a in arrays]}
    return b"".join([json.dumps(head).encode(), b"\n", *(a.tobytes() for a in arrays)])


def unpack(message: bytes) -> tuple[str, str, list[np.ndarray]]:
    """Return kind, text and arrays of a message.

    Raises
    ------
    ValueError
        If it is none.
    """
    line, _, rest = message.partition(b"\n")
    try:
        head = json.loads(line)
        kind, text, described = str(head["kind"]), str(head["text"]), head["arrays"]
        arrays = []
        for dtype, shape in described:
            count = math.prod(int(n) for n in shape)
            if dtype not in _DTYPES or count < 0:
                raise ValueError(f"an array of type {dtype}, shape {shape}")
            arrays.append(np.frombuffer(rest[: 8 * count], dtype=dtype).reshape(shape).copy())
            rest = rest[8 * count :]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a message: {error}") from None
    if rest:
        raise ValueError("not a message: it is longer than it says")
    return kind, text, arrays
