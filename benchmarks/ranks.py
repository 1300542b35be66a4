"""The likelihood of a study by the ranks of MPI: what each part takes, and a model of more.

    mpiexec -n 2 python -m mpi4py -m benchmarks.ranks measure CONFIG STUDY results/STUDY FILE
    python -m benchmarks.ranks predict FILE [--systems 1e7] [--ranks 64 1024] [--write FOLDER]

``measure`` reads the observations, the surrogate and the last estimate of a study's folder. Each
rank evaluates the likelihood of its own systems, and the sums over all of them, twice, the second
time from the modes of the first, which is what a step of the ascent does. It adds a line of JSON
to FILE. ``predict`` models the time of an evaluation of N systems by R ranks, and the memory of the
largest, as

    T(N, R) = n (s + c (1 + i)) + N b (R - 1) / R t + e l,    M(N, R) = m + n h,

where n are the systems of the largest rank, of whole blocks, c are the seconds of a system's
integral, s are the seconds of the rest, i is the share of c that a rank waits for the slowest, each
rank receives b bytes of sums for each system, exchanged and added in t seconds each, and e
exchanges have a latency of l seconds. A rank has m bytes before the evaluation, and h more for each
of its systems. These numbers are means of the measured lines, and i follows from the spread of the
ranks. l is the latency of a network (:data:`LATENCY`). Each measured time stands beside the
model's.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import cpu_model
from popinv import workers
from popinv.config.loading import as_mapping, load, load_file
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.division import added, systems_of_rank
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.marginal_estimate import point_of
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.population.model import Model
from popinv.store import storage
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads
from popinv.workflow.records import commit_of

LATENCY = 1e-4
"""Seconds of an exchange of many ranks, besides its bytes."""

# Blocks of ten million systems.
_MANY_BLOCKS = 5000


@dataclass
class Measured:
    """The cost of an evaluation. Seconds are processor seconds, averaged over the ranks.

    Attributes
    ----------
    seconds : float
        By the clock.
    integrals, others : float
        Seconds of the evaluation of a rank's own systems, and of the rest, including the counting
        of bytes.
    waiting : float
        Waiting for the slowest rank, by the clock.
    traffic : float
        Seconds of the exchanges: pickling, sending and unpickling.
    received : float
        Bytes that a rank has received.
    per_byte : float
        Seconds of a received byte, exchanged and added, where there are many.
    exchanges : int
        Exchanges of each rank.
    spread : float
        Standard deviation of the seconds of the ranks' own systems over their mean.
    before, megabytes : float
        Most memory of the largest rank: before the evaluation, and with it.
    held : float
        Bytes of an evaluation for each of a rank's own systems.
    """

    systems: int
    ranks: int
    seconds: float
    integrals: float
    others: float
    waiting: float
    traffic: float
    received: float
    per_byte: float
    exchanges: int
    spread: float
    before: float
    megabytes: float
    held: float
    machine: str = ""
    commit: str = ""


class _Timed:
    """A communicator that times what a rank does between its exchanges, and these."""

    def __init__(self, comm: Any) -> None:
        self._comm, self.rank, self.size = comm, comm.rank, comm.size
        self.reset()

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.waiting = self.spinning = self.traffic = self.received = 0.0
        self.exchanges = 0
        self.turns: list[float] = []

    @contextmanager
    def turns_timed(self) -> Iterator[None]:
        """Take the place of ``alone``, within which a rank evaluates its own systems."""
        began = time.process_time()
        with _alone():
            yield
        self.turns.append(time.process_time() - began)

    def allgather(self, found: Any) -> list[Any]:
        self.received += len(pickle.dumps(found)) * (self.size - 1)
        began, processor = time.perf_counter(), time.process_time()
        self._comm.Barrier()
        self.waiting += time.perf_counter() - began
        # A waiting rank polls repeatedly.
        self.spinning += time.process_time() - processor
        began = time.process_time()
        every = list(self._comm.allgather(found))
        self.traffic += time.process_time() - began
        self.exchanges += 1
        return every


_alone = workers.alone


def _problem(file: Path, name: str, results: Path) -> tuple[Problem, np.ndarray]:
    """Return the problem of a study's likelihood, and the estimate of its last round."""
    config = load(as_mapping(load_file(file)), str(file))
    study = config.studies[name]
    model = Model(study.forward, study.law, study.noise)
    last = results / f"rounds/{study.last_round()}"
    surrogate = storage.load(last / "surrogate.zarr.zip")
    # They stay in their store, and each rank reads its blocks.
    observations = storage.load(results / "observations.zarr.zip", stored=("y",))
    problem = descent_problem(model, observations, surrogate_of(surrogate), config.seed, "ranks")
    return problem, estimate_of(storage.load(last / "estimate.zarr.zip"))


def measure(file: Path, name: str, results: Path, systems: int | None) -> Measured | None:
    """Return what the second of two evaluations takes, on the first rank."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    problem, p = _problem(file, name, results)
    if systems is not None:
        problem = problem.of_systems(np.arange(systems))
    timed = _Timed(comm)
    with fixed_threads(), workers.ranks(timed):
        # A step keeps sums and a memory, of which the next one starts.
        own, settings = problem.divided(), MarginalSettings()
        before = _megabytes()
        memory = point_of(own, p, evaluate(own, p, settings)).memory
        timed.reset()
        workers.alone = timed.turns_timed
        comm.Barrier()
        began, processor = time.perf_counter(), time.process_time()
        point_of(own, p, evaluate(own, p, settings, memory))
        seconds, processor = time.perf_counter() - began, time.process_time() - processor
        per_byte = _per_byte(own, comm)
    integrals = float(np.sum(timed.turns))
    found = (
        integrals,
        processor - integrals - timed.traffic - timed.spinning,
        timed.waiting,
        timed.traffic,
        timed.received,
        before,
        _megabytes(),
    )
    # Only the first rank gathers the measurements of all ranks.
    every = np.array(comm.gather(found) or [found])
    if comm.rank:
        return None
    integrals, others, waiting, traffic, received, *_ = every.mean(axis=0)
    spread = every[:, 0].std(ddof=1) / integrals if comm.size > 1 else 0.0
    return Measured(
        own.count,
        comm.size,
        seconds,
        integrals,
        others,
        waiting,
        traffic,
        received,
        per_byte,
        timed.exchanges,
        float(spread),
        every[:, -2].max(),
        every[:, -1].max(),
        sum(each.nbytes for each in memory.values()) / len(own.data),
        f"{cpu_model()}, {os.cpu_count()} cores",
        commit_of(Path(__file__)),
    )


def _per_byte(own: Problem, comm: Any) -> float:
    """Return the seconds of a byte that a rank receives if many sums are exchanged and added."""
    if own.part is None or comm.size == 1:
        return 0.0
    own = replace(own, part=replace(own.part, communicator=comm))
    sums, least = np.zeros((_MANY_BLOCKS // comm.size, 32)), np.inf
    for _ in range(5):
        began = time.process_time()
        added(own, sums)
        least = min(least, time.process_time() - began)
    return float(least / (sums.nbytes * (comm.size - 1)))


def _megabytes() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@dataclass(frozen=True)
class Scaling:
    """The constants of the model, in seconds, bytes and exchanges."""

    others: float
    integral: float
    received: float
    per_byte: float
    exchanges: float
    spread: float
    before: float
    of_system: float

    @classmethod
    def of(cls, lines: Sequence[Measured]) -> Scaling:
        """Return the means of what was measured."""
        several = [line for line in lines if line.ranks > 1]
        return cls(
            float(np.mean([line.others * line.ranks / line.systems for line in lines])),
            float(np.mean([line.integrals * line.ranks / line.systems for line in lines])),
            float(np.mean([_received(line) for line in several])),
            float(np.mean([line.per_byte for line in several])),
            float(np.mean([line.exchanges for line in lines])),
            float(np.mean([line.spread for line in several])),
            float(np.mean([line.before for line in lines])),
            # For the most systems in a rank: the memory of few systems is the memory of a block.
            max((_own(line.systems, line.ranks), _of_system(line)) for line in lines)[1],
        )

    def seconds(self, systems: float, ranks: int, cores: int | None = None) -> dict[str, float]:
        """Return the seconds of the parts of an evaluation; ranks may share fewer cores."""
        shared = max(1.0, ranks / cores) if cores else 1.0
        own = _own(systems, ranks)
        # The largest of R normal variables is about sqrt(2 log R) deviations above the mean.
        above = self.spread * np.sqrt(2 * np.log(ranks))
        return {
            "integrals": shared * own * self.integral,
            "others": shared * own * self.others,
            "waiting": shared * own * self.integral * above,
            "traffic": shared * systems * self.received * (1 - 1 / ranks) * self.per_byte
            + (self.exchanges * LATENCY if ranks > 1 else 0.0),
        }

    def megabytes(self, systems: float, ranks: int) -> float:
        """Return the memory of the largest rank."""
        return self.before + _own(systems, ranks) * self.of_system / 1e6


def _own(systems: float, ranks: int) -> int:
    """Return the number of systems of the largest rank."""
    parts = [systems_of_rank(int(systems), rank, ranks) for rank in range(ranks)]
    # If there are fewer blocks than ranks, each has all of them.
    return max(int(systems) if part is None else part.stop - part.start for part in parts)


def _of_system(line: Measured) -> float:
    """Return the bytes that each of a rank's own systems has added."""
    return (line.megabytes - line.before) * 1e6 / _own(line.systems, line.ranks)


def _received(line: Measured) -> float:
    """Return the bytes of a system that a rank has received from the others, of those it may."""
    return line.received / line.systems / (1 - 1 / line.ranks)


def beside(lines: Sequence[Measured], scaling: Scaling) -> pd.DataFrame:
    """Return the measured times beside the model's times, a row for each line."""
    rows = []
    for line in sorted(lines, key=lambda line: (line.systems, line.ranks)):
        parts = scaling.seconds(line.systems, line.ranks, os.cpu_count())
        rows.append(
            {
                "systems": f"{line.systems:,}",
                "ranks": line.ranks,
                "measured, s": f"{line.seconds:.1f}",
                "model, s": f"{sum(parts.values()):.1f}",
                "integrals, s": f"{line.integrals:.1f}",
                "others, s": f"{line.others:.2f}",
                "waiting, s": f"{line.waiting:.2f}",
                "traffic, s": f"{line.traffic:.3f}",
                "received, MB": f"{line.received / 1e6:.2f}",
                "MB of the largest rank": f"{line.megabytes:,.0f}",
                "before": f"{line.before:,.0f}",
                "machine": line.machine,
                "commit": line.commit[:8],
            }
        )
    return pd.DataFrame(rows)


def predicted(scaling: Scaling, systems: float, ranks: Sequence[int]) -> pd.DataFrame:
    """Return the model's times of many ranks, each with a core of its own."""
    alone, rows = sum(scaling.seconds(systems, 1).values()), []
    for count in ranks:
        parts = scaling.seconds(systems, count)
        total = sum(parts.values())
        rows.append(
            {
                "systems": f"{systems:,.0f}",
                "ranks": count,
                "model, s": f"{total:.2f}",
                **{f"{name}, s": f"{seconds:.3f}" for name, seconds in parts.items()},
                "efficiency": f"{alone / count / total:.0%}",
                "received, MB": f"{systems * scaling.received * (1 - 1 / count) / 1e6:.1f}",
                "MB of the largest rank": f"{scaling.megabytes(systems, count):,.0f}",
            }
        )
    return pd.DataFrame(rows)


def predict(file: Path, systems: float, ranks: Sequence[int], folder: Path | None) -> None:
    """Print both tables, and write them to a folder."""
    lines = [Measured(**json.loads(line)) for line in file.read_text().splitlines()]
    scaling = Scaling.of(lines)
    print(json.dumps(asdict(scaling), indent=1))
    tables = {
        "ranks_measured": beside(lines, scaling),
        "ranks_model": predicted(scaling, systems, ranks),
    }
    for name, table in tables.items():
        print(table.to_string(index=False), end="\n\n")
        if folder is not None:
            table.to_csv(folder / f"{name}.csv", index=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure or predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    does = parser.add_subparsers(dest="does", required=True)
    measuring = does.add_parser("measure")
    measuring.add_argument("config", type=Path)
    measuring.add_argument("study")
    measuring.add_argument("results", type=Path)
    measuring.add_argument("file", type=Path)
    measuring.add_argument("--systems", type=int)
    predicting = does.add_parser("predict")
    predicting.add_argument("file", type=Path)
    predicting.add_argument("--systems", type=float, default=1e7)
    predicting.add_argument("--ranks", type=int, nargs="*", default=[1, 16, 64, 256, 1024, 4096])
    predicting.add_argument("--write", type=Path, metavar="FOLDER", help="as CSV files")
    asked = parser.parse_args(arguments)
    if asked.does == "measure":
        found = measure(asked.config, asked.study, asked.results, asked.systems)
        if found is not None:
            with asked.file.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
    else:
        predict(asked.file, asked.systems, asked.ranks, asked.write)


if __name__ == "__main__":
    main()
