"""The parameters of single systems, with the recovered population as their prior."""


def posterior_truth(wildcards):
    """Input function: the truth, where there is one."""
    if is_synthetic(config["studies"][wildcards.study]):
        return {"truth": f"<results>/{wildcards.study}/truth.zarr/zarr.json"}
    return {}


# Sample the posterior of every observed system through the surrogate.
rule posterior:
    input:
        unpack(posterior_truth),
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr/zarr.json",
    output:
        posterior="<results>/{study}/posterior.zarr/zarr.json",
        metrics="<results>/{study}/downstream/posterior/metrics.json",
        figures=pictures("<results>/{study}/downstream/posterior", "systems", "calibration"),
    log:
        "<results>/{study}/logs/posterior.log",
    benchmark:
        "<results>/{study}/benchmarks/posterior.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        posterior=lookup(dpath="studies/{study}/downstream/posterior", within=config),
        code=code_of("posterior", "law", "noise"),
    message:
        "{wildcards.study}: sampling the parameters of every system"
    script:
        "../scripts/posterior.py"
