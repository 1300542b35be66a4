"""Stochastic gradient descent near critical points: convergence, sticking and escape."""


# Every formula beside simulated paths.
rule check_sgd_claims:
    output:
        metrics="<results>/downstream/sgd_dynamics/metrics.json",
        claims="<results>/downstream/sgd_dynamics/claims.csv",
        result="<results>/downstream/sgd_dynamics/result.zarr/zarr.json",
        figures=picture("<results>/downstream/sgd_dynamics", "comparisons"),
    log:
        "<results>/downstream/logs/check_sgd_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_sgd_claims.tsv"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_sgd_claims"),
    message:
        "sgd_dynamics: simulating paths near critical points"
    script:
        "../scripts/check_sgd_claims.py"


# Where would a study's descent stick, for how long, and which way would it leave?
rule probe_descent:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/sgd_dynamics/metrics.json",
        result="<results>/{study}/downstream/sgd_dynamics/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/sgd_dynamics", "slices"),
    log:
        "<results>/{study}/logs/probe_descent.log",
    benchmark:
        "<results>/{study}/benchmarks/probe_descent.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        sgd_dynamics=lookup(dpath="studies/{study}/downstream/sgd_dynamics", within=config),
        code=code_of("probe_descent", "law", "noise"),
    message:
        "{wildcards.study}: probing the descent along lines"
    script:
        "../scripts/probe_descent.py"
