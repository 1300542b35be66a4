"""The papers, as the entry point of this package gives them to popinv."""

from popinv.methods.method import House
from popinv_papers.analog.method import METHOD as ANALOG
from popinv_papers.bigram.method import METHOD as BIGRAM
from popinv_papers.bigram.method import Corpus
from popinv_papers.birch.method import METHOD as BIRCH
from popinv_papers.certified_unlearning.method import METHOD as CERTIFIED_UNLEARNING
from popinv_papers.fedhl.method import METHOD as FEDHL
from popinv_papers.influence.method import METHOD as INFLUENCE
from popinv_papers.instance_unlearning.method import METHOD as INSTANCE_UNLEARNING
from popinv_papers.instance_unlearning.method import InstanceImages
from popinv_papers.kit.paper import Paper, Size
from popinv_papers.mwgrad.method import METHOD as MWGRAD
from popinv_papers.sgd_dynamics.method import METHOD as SGD_DYNAMICS

PAPERS: tuple[Paper, ...] = (
    BIGRAM,
    INSTANCE_UNLEARNING,
    BIRCH,
    MWGRAD,
    SGD_DYNAMICS,
    INFLUENCE,
    CERTIFIED_UNLEARNING,
    ANALOG,
    FEDHL,
)
HOUSE = House(PAPERS, (Size, InstanceImages, Corpus))
