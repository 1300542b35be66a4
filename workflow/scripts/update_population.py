"""Estimate the population through the round's surrogate, to know where to solve next."""

from popinv import storage
from popinv.job import job

with job(snakemake):
    given, number = snakemake.params, int(snakemake.wildcards.round)
    study = {key: given[key] for key in ("forward", "law", "noise")}
    fitted = storage.load(snakemake.input.surrogate)
    last = snakemake.input.get("previous_estimate")
    previous = None if last is None else storage.load(last)
    if fitted.attrs["converged"]:
        print("the last estimate is passed on")
        dataset = previous.assign_attrs(converged=1)
    else:
        # Imported here: passing on needs no tensor library.
        from popinv.inference.build import descent_problem, start
        from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
        from popinv.inference.result import estimate_dataset, estimate_of
        from popinv.surrogate.artefact import surrogate_of

        observations = storage.load(snakemake.input.observations)
        surrogate = surrogate_of(fitted, snakemake.config["device"])
        problem = descent_problem(study, observations, surrogate, given.seed, f"update/{number}")
        # An early surrogate can lead the estimate astray; the study's start then leads it back.
        starts = [start(study, problem)]
        if previous is not None:
            starts.insert(0, estimate_of(previous))
        found = fit_pseudo_likelihood(problem, starts, rough=True)
        dataset = estimate_dataset(problem, found, {"converged": 0})
        print(dataset["law"].to_series().to_string(), dataset["noise"].to_series().to_string())
    storage.save(
        dataset,
        snakemake.output.estimate,
        config=study,
        seed=given.seed,
        created_by=snakemake.rule,
    )
