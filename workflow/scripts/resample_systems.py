"""Repeat the estimate on resampled systems, for confidence intervals."""

from popinv import storage
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.choice import ESTIMATORS, choose
from popinv.inference.resampling import bootstrap
from popinv.inference.result import estimate_of, resamples_dataset
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"], snakemake.config["device"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "bootstrap")
    name, _ = choose({name: loaded[name] for name in ESTIMATORS}, given.estimator)
    answers = bootstrap(
        problem,
        name,
        estimate_of(loaded[name]),
        given.resamples,
        descent_settings(given.descent),
        given.polish["draws"],
    )
    storage.save(
        resamples_dataset(problem, answers),
        snakemake.output.resamples,
        config={**study, "descent": given.descent, "resamples": given.resamples},
        seed=given.seed,
        created_by=snakemake.rule,
    )
