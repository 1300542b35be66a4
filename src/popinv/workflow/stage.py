"""The frame of a job around its stage: it reads the inputs and writes the outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from popinv.population.model import Model
from popinv.sections.base import plain
from popinv.store import storage
from popinv.store.whole_files import write_text
from popinv.workflow.job import job
from popinv.workflow.run import StudyRun, function_of

if TYPE_CHECKING:
    from popinv.store.checkpoints import Checkpoint


# Tables of single systems, by input.
_STORED = {"observations": ("y",), "previous_observations": ("y",), "proposals": ("z",)}
# Parameters of a rule that are no options of its stage.
_OF_EVERY_JOB = {"seed", "study", "stage", "checkpoint", "code"}


class StageJob:
    """The job of a stage: the inputs that the rule gives, and the outputs that it requests.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to a script. Its params hold ``seed``, ``study`` (typed
        sections by name), ``checkpoint`` where the stage has one, and the stage's options.
    streams : bool
        Whether large tables of single systems stay in their stores and are read in blocks of rows
        (:mod:`popinv.store.rows`).
    """

    def __init__(self, snakemake: Any, streams: bool = False) -> None:
        self.snakemake, self._stored = snakemake, _STORED if streams else {}
        self.params = snakemake.params
        self.wildcards = snakemake.wildcards
        self.output = snakemake.output

    @property
    def study(self) -> Mapping[str, Any]:
        """The sections of the study that the stage depends on, by name."""
        return self.params.get("study") or {}

    @property
    def model(self) -> Model:
        """The study's model."""
        return Model.of(self.study)

    def settings(self, *names: str) -> dict[str, Any]:
        """Return some of the sections by name."""
        return {name: self.study[name] for name in names}

    @property
    def seed(self) -> int:
        """The study's seed."""
        return int(self.params.seed)

    @property
    def device(self) -> str:
        """The device that trains and evaluates surrogates."""
        return str(self.snakemake.config["device"])

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """The Datasets of the input stores by name, a list where a name has several stores."""
        loaded: dict[str, Any] = {}
        for name, paths in self.snakemake.input.items():
            several = isinstance(paths, list)
            stores = [path for path in (paths if several else [paths]) if _is_store(path)]
            if stores:
                datasets = [
                    storage.load(path, stored=self._stored.get(name, ())) for path in stores
                ]
                loaded[name] = datasets if several else datasets[0]
        return loaded

    def checkpoint(self, **settings: Any) -> Checkpoint:
        """Return the job's checkpoint, which belongs to its inputs, its sections and settings."""
        # This is imported here, as only stages with a checkpoint depend on its code.
        from popinv.store.checkpoints import Checkpoint

        config = plain({**self.study, **settings})
        return Checkpoint.of_job(self.snakemake, config, self.inputs.values())

    def save(
        self,
        output: str,
        dataset: xr.Dataset,
        sections: Iterable[str] | None = None,
        **settings: Any,
    ) -> None:
        """Write an output store, with the sections and further settings that it depends on.

        By default it depends on all sections of the job.
        """
        own = self.study if sections is None else self.settings(*sections)
        storage.save(
            dataset,
            self.output[output],
            config=plain({**own, **settings}),
            seed=self.seed,
            created_by=self.snakemake.rule,
        )

    def options(self) -> dict[str, Any]:
        """Return what the stage may take besides sections and artefacts."""
        results = self.snakemake.config["results"]
        return {
            # The journals of one's own simulators, and the time of their solves.
            "journal": (str(Path(results, ".journal")), self.snakemake.config["journal_seconds"]),
            "results": results,
            "folder": Path(self.output[0]).parent,
            **{name: value for name, value in self.params.items() if name not in _OF_EVERY_JOB},
        }

    def put(self, output: str, result: Any, **settings: Any) -> None:
        """Write what a stage returns: a store, a chart, text, or JSON."""
        path = self.path(output)
        if isinstance(result, xr.Dataset):
            self.save(output, result, **settings)
        elif path.suffix == ".png":
            self.draw(output, result)
        elif isinstance(result, str):
            self.write(output, result)
        else:
            print(self.write(output, result))

    def draw(self, output: str, chart: Any) -> None:
        """Write a chart as a picture, with its numbers beside it."""
        # This is imported here, as only stages with charts depend on its code.
        from popinv.charts.saving import save

        save(chart, self.path(output))

    def write(self, output: str, content: Any) -> str:
        """Write an output file, text unchanged and all else as JSON, and return its content."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
        write_text(self.output[output], text)
        return text

    def path(self, output: str) -> Path:
        """Return the path of an output file."""
        return Path(self.output[output])


def _is_store(path: Any) -> bool:
    return str(path).endswith(".zarr.zip")


@contextmanager
def stage(snakemake: Any, streams: bool = False) -> Iterator[StageJob]:
    """Run a script's body as the job of its stage; see :func:`popinv.workflow.job.job`."""
    with job(snakemake):
        yield StageJob(snakemake, streams)


def run_stage(snakemake: Any) -> None:
    """Run the stage of a rule, whose params say in ``stage`` how it is called.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to a script. Its params are the fields of :class:`StageJob`.
        ``stage`` is a dict of ``function``, ``returns``, ``recorded``, ``streams`` and ``chart``,
        as in :class:`popinv.workflow.stages.Stage`.
    """
    how = snakemake.params.stage
    # The log of the job begins when all is imported, and the collector runs from then on.
    function = function_of(how["function"])
    chart = function_of(how["chart"]) if how["chart"] else None
    with stage(snakemake, how["streams"]) as own:
        settings = {name: own.params[name] for name in how["recorded"]}
        options = own.options()
        checkpoint = own.checkpoint(**settings) if own.params.get("checkpoint") else None
        run = StudyRun(own.study, own.inputs, own.seed, own.device)
        found = run.call(function, checkpoint=checkpoint, **options)
        results = _outputs(found, len(how["returns"]))
        for output, result in zip(how["returns"], results, strict=True):
            own.put(output, result, **settings)
        if chart is not None:
            # A chart of the first results may need no others.
            shown = results[: len(signature(chart).parameters)]
            own.draw("figure", chart(*shown))
        if checkpoint is not None:
            checkpoint.clear()


def _outputs(found: Any, count: int) -> tuple[Any, ...]:
    """Return the outputs of a stage, one after the other; there are ``count``."""
    if isinstance(found, tuple):
        return found
    if count == 1:
        return (found,)
    # A record of several files, such as an answer's, says what is in them.
    return tuple(found.contents()) if count else ()
