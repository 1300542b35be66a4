"""Pretrain the language model of the test problem of influence."""

from pathlib import Path

from popinv.store import storage
from popinv.threads import fixed_threads
from popinv.workflow.job import job
from popinv_papers.influence.pretraining import brown_and_letters, pretrain
from popinv_papers.influence.problem import SIZES
from popinv_papers.kit.kept import keeping

with job(snakemake):
    params, given = snakemake.params, snakemake.input
    size = SIZES[params.size].language.model
    corpus = brown_and_letters(Path(given.brown), Path(given.letters), size.vocabulary, size.length)
    settings = {"size": params.size, "seed": params.seed}
    with keeping(Path(params.kept), {**settings, "code": params.code}), fixed_threads():
        found = pretrain(corpus, size, params.seed)
    storage.save(
        found,
        snakemake.output.model,
        config=settings,
        seed=params.seed,
        created_by=snakemake.rule,
    )
