"""Draw every figure of a study."""

from pathlib import Path

from popinv import storage
from popinv.figures.study import draw_all
from popinv.inference.build import descent_problem
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "figures")
    draw_all(problem, loaded, Path(snakemake.output[0]).parent)
