"""A journal of solves: each is kept as soon as it ends, and is never repeated.

A solve is known by the simulator, the parameters, and the seed if the simulator takes one. A job
that is killed, or chunks of another size, or the same parameters in another round, then find what
is there. Each process appends to a file of its own, a line for each solve, so that nothing is
locked. Each line ends with a checksum of itself and of the simulator: a line that does not have it
is not read, and its solve is repeated. Only solves that take long are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from popinv.forward.external.files import simulator_hash
from popinv.forward.external.section import ExternalSection
from popinv.forward.section import ForwardSection
from popinv.regular_files import check_regular

FOLDER = ".journal"
"""The folder within the results, in which each simulator has a folder with its files."""

# Keys of the section on which the answer of a successful solve does not depend.
_NO_PART = ("time_limit", "call_time_limit", "parallel", "retries", "rows_per_call", "derivatives")
# The key of the folder of a simulator's modules, which may be moved together.
_FOLDER_KEY = "path"
# What stands before the checksum, which is the last key of a line.
_MARK = b', "sha256": "'
# Seconds after which what was written is synced to the disk.
_SYNC_EVERY = 5.0


def simulator_key(section: ForwardSection) -> str:
    """Return a hash of a simulator: its section of the configuration, and its files.

    A module that lies in another folder is the same simulator.
    """
    keys = section.model_dump(mode="json", by_alias=True, exclude=set(_NO_PART))
    folder = keys.pop(_FOLDER_KEY, ".")
    digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode())
    digest.update(simulator_hash(section.source_files(), folder).encode())
    return digest.hexdigest()[:16]


def _checksum(body: bytes, simulator: str) -> bytes:
    """Return the checksum of a line without its last key, in the journal of a simulator."""
    return hashlib.sha256(simulator.encode() + b"\n" + body).hexdigest()[:16].encode()


def _entry(line: bytes, simulator: str) -> dict[str, Any] | None:
    """Return what a line says, or None if it does not have its checksum."""
    body, _, end = line.rpartition(_MARK)
    if end != _checksum(body, simulator) + b'"}':
        return None
    entry: dict[str, Any] = json.loads(body + b"}")
    return entry


def _entries(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the number of each line of a file and what it says, None if it is damaged.

    A last line without an end comes from a job that was killed, and is no damage.
    """
    check_regular(file)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            entry = _entry(line.removesuffix(b"\n"), file.parent.name)
            if entry is not None or line.endswith(b"\n"):
                yield number, entry


def damaged_lines(folder: str | os.PathLike[str]) -> dict[Path, list[int] | None]:
    """Return the files of the journals in a folder of results, and the damaged lines of each.

    None stands for a file that cannot be read.
    """
    found: dict[Path, list[int] | None] = {}
    for file in sorted(Path(folder, FOLDER).glob("*/*.jsonl")):
        try:
            found[file] = [number for number, entry in _entries(file) if entry is None]
        except OSError:
            found[file] = None
    return found


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
        self._known: dict[str, dict[str, Any]] = {}
        self._read = False
        self._file: BinaryIO | None = None
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
            body = json.dumps(entry).encode()[:-1]
            check = _checksum(body, self._folder.name)
            file.write(body + _MARK + check + b'"}\n')
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
        if not self._read:
            self._read, damaged = True, 0
            for file in sorted(self._folder.glob("*.jsonl")):
                try:
                    damaged += self._learn(file)
                except OSError as error:
                    print(f"{file}: cannot be read ({error.strerror}). Its solves are repeated.")
            if damaged:
                lines = "1 line is" if damaged == 1 else f"{damaged} lines are"
                print(
                    f"{self._folder}: {lines} damaged, or without the checksum that this version "
                    "writes. These solves are repeated."
                )
        return self._known

    def _learn(self, file: Path) -> int:
        """Take what a file says, and return the number of its damaged lines."""
        damaged = 0
        for _, entry in _entries(file):
            if entry is None:
                damaged += 1
            elif _says_more(entry, self._known.get(entry["key"])):
                self._known[entry["key"]] = entry
        return damaged

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{os.uname().nodename}.{os.getpid()}.{time.time_ns()}.jsonl"
            self._file = (self._folder / name).open("ab")
        return self._file


def _says_more(entry: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Return whether a line says more of a system than another, whatever their order.

    An answer says more than a failure, and a failure under a longer limit more than another.
    """
    if other is None or not entry["reason"]:
        return True
    return bool(other["reason"]) and entry["limit"] >= other["limit"]
