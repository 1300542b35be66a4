"""The inputs and the outcome of a method's jobs; the outcome is saved here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from popinv.charts.description import Sheet
from popinv.charts.saving import save
from popinv.methods.invariants import Invariant, invariant_metrics
from popinv.methods.metrics import write_metrics
from popinv.sections.base import plain
from popinv.store import storage

if TYPE_CHECKING:
    import pandas as pd

    from popinv.forward.section import ForwardSection
    from popinv.inference.estimators.settings import DescentSettings, PolishSettings
    from popinv.observation_files.section import FileObservations
    from popinv.population.laws.section import LawSection
    from popinv.population.model import Model
    from popinv.population.noise.section import NoiseSection
    from popinv.population.sections import SyntheticObservations
    from popinv.surrogate.section import SurrogateSettings

# The value of a section that a method's record does not name, and that the method does not read.
_NOT_NAMED: Any = None


@dataclass(frozen=True)
class StudyInput:
    """The input of a method's use on a study.

    ``asked`` is the method's section, and the stores have the names that its record uses. The
    sections of the study are those that the record names; ``recency_decay`` is the key of
    ``active_learning``.
    """

    asked: Any
    seed: int
    stores: Mapping[str, xr.Dataset]
    forward: ForwardSection = _NOT_NAMED
    law: LawSection = _NOT_NAMED
    noise: NoiseSection = _NOT_NAMED
    surrogate: SurrogateSettings = _NOT_NAMED
    observations: FileObservations | SyntheticObservations = _NOT_NAMED
    descent: DescentSettings = _NOT_NAMED
    polish: PolishSettings = _NOT_NAMED
    recency_decay: float = 1.0

    @property
    def model(self) -> Model:
        """The study's model: forward model, law and noise."""
        # This is imported here, as not every method depends on it.
        from popinv.population.model import Model

        return Model(self.forward, self.law, self.noise)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a method's job.

    Figures have the names in the method's record, and ``result`` is the content of the store.
    ``files`` are functions that write the further files of the record to a path. ``invariants`` are
    the invariants that a use on a study has checked; each use has at least one.
    """

    metrics: Mapping[str, Any]
    figures: Mapping[str, Sheet]
    result: xr.Dataset | xr.DataTree | None = None
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    invariants: Sequence[Invariant] = ()

    @property
    def all_metrics(self) -> dict[str, Any]:
        """The metrics, with the metrics of the invariants."""
        return {**self.metrics, **invariant_metrics(self.invariants)}


def save_outcome(
    outcome: Outcome, output: Any, config: Mapping[str, Any], seed: int, created_by: str
) -> None:
    """Write everything that a rule declares; ``metrics.json`` comes last.

    ``output`` holds the outputs of the rule by name, as Snakemake gives them to a script. The store
    says of its origin the settings and sections that were used, the seed and what created it.
    """
    if outcome.result is not None:
        used = plain(config)
        storage.save(outcome.result, output.result, config=used, seed=seed, created_by=created_by)
    for path in map(Path, output.figures):
        save(outcome.figures[path.stem], path)
    for path in map(Path, output.get("files", ())):
        outcome.files[path.name](path)
    write_metrics(outcome.all_metrics, Path(output.metrics))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six digits."""
    table.to_csv(path, index=False, float_format="%.6g", encoding="utf-8")
