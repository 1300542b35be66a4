"""Gather a round's chunks, count failures, and judge the last surrogate on the fresh solves."""

from popinv import storage
from popinv.job import job
from popinv.surrogate.collect import check_failures, collect, failure_counts, judge

with job(snakemake):
    given = snakemake.params
    fresh = collect([storage.load(path) for path in snakemake.input.chunks])
    print(f"{fresh.sizes['sample']} solves; failed: {failure_counts(fresh) or 'none'}")
    check_failures(fresh, given.failure_budget)
    previous = {
        name.removeprefix("previous_"): storage.load(path)
        for name, path in snakemake.input.items()
        if name.startswith("previous_")
    }
    if previous:
        # Imported here: the first round has no surrogate to judge, and needs no tensor library.
        from popinv.inference.build import descent_problem
        from popinv.inference.surrogate_push import surrogate_push
        from popinv.surrogate.artefact import surrogate_of

        study = {key: given[key] for key in ("forward", "law", "noise")}
        surrogate, estimate = surrogate_of(previous["surrogate"]), previous["estimate"]
        stage = f"push/{snakemake.wildcards.round}"
        problem = descent_problem(study, previous["observations"], surrogate, given.seed, stage)
        fresh = judge(
            fresh,
            previous["solves"],
            surrogate,
            estimate,
            given.thresholds,
            surrogate_push(problem, estimate),
        )
        for name, unit in (("error", "noise standard deviations"), ("push", "standard errors")):
            told = ", ".join(f"{e:.3f}" for e in fresh[f"surrogate_{name}"].values)
            print(f"surrogate {name} on fresh solves, in {unit}: {told}")
    storage.save(
        fresh,
        snakemake.output.solves,
        config={"thresholds": given.thresholds, "failure_budget": given.failure_budget},
        seed=given.seed,
        created_by=snakemake.rule,
    )
