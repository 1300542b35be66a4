"""Propose parameters, solve the forward model, and judge the last surrogate on these solves."""

from functools import partial

from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.population.stages.propose_parameters import propose_parameters
from popinv.surrogate.collect import Thresholds
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    forward, law = job.study["forward"], job.study["law"]
    address = {"seed": job.seed, "round_name": job.wildcards.round}
    budget, thresholds = job.params.failure_budget, job.params.thresholds
    counts = {"samples": job.params.samples, "candidates": job.params.candidates}
    inputs, choose = dict(job.inputs), None
    known = {
        "observations": inputs.pop("observations", None),
        "previous_estimate": inputs.get("previous_estimate"),
    }
    if counts["candidates"]:
        # Plain draws need no surrogate. `popinv.workflow.selection` names the module.
        from popinv.surrogate.gaussian_process.acquisition import chosen_rows

        choose = partial(chosen_rows, inputs["previous_surrogate"])
    proposals = propose_parameters(forward, law, choose=choose, **known, **address, **counts)
    solves = solve_chunk(forward, proposals, **address)
    solves = collect_solves(
        [solves],
        model=job.model if thresholds else None,
        failure_budget=budget,
        thresholds=Thresholds(**thresholds) if thresholds else None,
        **inputs,
        **address,
    )
    job.save("solves", solves, **counts, failure_budget=budget, thresholds=thresholds)
