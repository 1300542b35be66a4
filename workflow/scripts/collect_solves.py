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
        from popinv.surrogate.artefact import surrogate_of

        surrogate = surrogate_of(previous["surrogate"])
        fresh = judge(fresh, previous["solves"], surrogate, previous["estimate"], given.threshold)
        errors = ", ".join(f"{e:.3f}" for e in fresh["surrogate_error"].values)
        print(f"surrogate error on fresh solves, in noise standard deviations: {errors}")
    storage.save(
        fresh,
        snakemake.output.solves,
        config={"threshold": given.threshold, "failure_budget": given.failure_budget},
        seed=given.seed,
        created_by=snakemake.rule,
    )
