"""Confront what the influence of samples is claimed to do with what is measured."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.influence import problem
from popinv.downstream.influence.language import Corpus
from popinv.downstream.text import brown_texts, byte_pair_symbols
from popinv.figures.influence import draw_landmarks, draw_selections
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    size = problem.SIZES[given.size]
    texts = brown_texts(Path(snakemake.input.corpus))
    symbols, learnt = byte_pair_symbols(list(texts.values()), size.language.vocabulary)
    corpus = Corpus(dict(zip(texts, symbols, strict=True)), learnt)
    with fixed_threads():
        result = problem.run(size, corpus, given.seed)
    found = problem.metrics(result)
    storage.save(
        result,
        output.result,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    folder = Path(output.figures[0]).parent
    save(draw_selections(result), folder / "selections.png")
    save(draw_landmarks(result), folder / "landmarks.png")
    write_claims(problem.claims(result, found), Path(output.claims))
    write_metrics(found, Path(output.metrics))
