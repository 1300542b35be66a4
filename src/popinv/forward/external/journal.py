"""A journal of solves: each is kept as soon as it ends, and is never repeated.

A solve is known by the simulator, the parameters, and the seed if the simulator takes one. A job
that is killed, or chunks of another size, or the same parameters in another round, then find what
is there. Each process appends to a file of its own, a line for each solve, so that nothing is
locked. A line that was cut off is not read. Only solves that take long are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from popinv.forward.external.files import simulator_hash
from popinv.forward.external.section import ExternalSection
from popinv.forward.section import ForwardSection

__all__ = ["Journal", "simulator_key"]

# Keys of the section on which the answer of a successful solve does not depend.
_NO_PART = ("time_limit", "call_time_limit", "parallel", "retries", "rows_per_call", "derivatives")
# Seconds after which what was written is synced to the disk.
_SYNC_EVERY = 5.0


def simulator_key(section: ForwardSection) -> str:
    """Return a hash of a simulator: its section of the configuration, and its files."""
    keys = section.model_dump(mode="json", by_alias=True, exclude=set(_NO_PART))
    digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode())
    digest.update(simulator_hash(section.source_files()).encode())
    return digest.hexdigest()[:16]


class Journal:
    """The journal of one simulator.

    Parameters
    ----------
    folder : path
        The journals of all simulators.
    section : ExternalSection
        The simulator.
    least_seconds : float
        A solve that takes less is not kept.
    """

    def __init__(
        self, folder: str | os.PathLike[str], section: ExternalSection, least_seconds: float
    ) -> None:
        self._folder = Path(folder, simulator_key(section))
        # A failure under a shorter limit may succeed under this one.
        self._limit = section.time_limit
        self._seeded = bool(getattr(section, "pass_seed", True))
        self._least = least_seconds
        self._known: dict[str, dict[str, Any]] | None = None
        self._file: TextIO | None = None
        self._synced = 0.0

    def look_up(
        self, z: np.ndarray, seeds: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what is known of some systems.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        seeds : ndarray of int, shape (n,)
        width : int
            d_y.

        Returns
        -------
        values : ndarray of shape (n, d_y)
            NaN where a solve has failed or is not known.
        reasons : ndarray of object, shape (n,)
        known : ndarray of bool, shape (n,)
        """
        entries = self._entries()
        values, known = np.full((len(z), width), np.nan), np.zeros(len(z), dtype=bool)
        reasons = np.full(len(z), "", dtype=object)
        for i, key in enumerate(self._keys(z, seeds)):
            entry = entries.get(key)
            if entry is None or (entry["reason"] and entry["limit"] < self._limit):
                continue
            if not entry["reason"]:
                if len(entry["y"]) != width:
                    continue
                values[i] = entry["y"]
            reasons[i], known[i] = entry["reason"], True
        return values, reasons, known

    def keep(
        self,
        z: np.ndarray,
        seeds: np.ndarray,
        values: np.ndarray,
        reasons: np.ndarray,
        seconds: float,
    ) -> None:
        """Write solves that have ended, unless each took less than the least time.

        Parameters
        ----------
        z, seeds, values, reasons : ndarray
            As :meth:`look_up` has them.
        seconds : float
            Time of the call.
        """
        if not len(z) or seconds / len(z) < self._least:
            return
        file = self._opened()
        for key, y, reason in zip(self._keys(z, seeds), values, reasons, strict=True):
            entry = {
                "key": key,
                "y": None if reason else y.tolist(),
                "reason": str(reason),
                "limit": self._limit,
                "seconds": round(seconds / len(z), 3),
            }
            file.write(json.dumps(entry) + "\n")
        file.flush()
        if time.monotonic() - self._synced >= _SYNC_EVERY:
            os.fsync(file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close the file of this process, if it has written any."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _keys(self, z: np.ndarray, seeds: np.ndarray) -> Iterator[str]:
        for row, seed in zip(np.ascontiguousarray(z, dtype=float), seeds, strict=True):
            own = row.tobytes() + (int(seed).to_bytes(8, "little") if self._seeded else b"")
            yield hashlib.sha256(own).hexdigest()[:32]

    def _entries(self) -> dict[str, dict[str, Any]]:
        if self._known is None:
            self._known = {}
            for file in sorted(self._folder.glob("*.jsonl")):
                for line in file.read_text(encoding="utf-8").splitlines():
                    try:
                        entry = json.loads(line)
                        self._known[entry["key"]] = entry
                    except (ValueError, KeyError, TypeError):
                        continue  # the writer was killed in the middle of it
        return self._known

    def _opened(self) -> TextIO:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{os.uname().nodename}.{os.getpid()}.{time.time_ns()}.jsonl"
            self._file = (self._folder / name).open("a", encoding="utf-8")
        return self._file
