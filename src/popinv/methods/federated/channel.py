r"""Rounds of questions and answers between the server and the sites, and secure aggregation.

In a round the server sends a question with the parameters, each site answers with a message, and
the server receives the sum. Messages are sums over systems by name, sent as one vector: the sum of
the vectors of several sites is the vector of all their systems. All numbers that are sent are
counted, eight bytes each.

With secure aggregation the server sees nothing but the sum, as masks hide each site's message and
cancel in it. Numbers are rounded to multiples of 2^-24 and counted modulo 2^64. Each pair of sites
s < t shares a key, from which both draw the same mask, uniform on all residues. Site s adds it and
site t subtracts it. The sum of all messages is exact, and every proper subset of them is uniform
(Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017).

The keys would come from a key agreement of the sites; here they follow from a seed. Sites may not
drop out: all sites answer in each round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from popinv.errors import DivergenceError
from popinv.seeds import generator

Message = Mapping[str, np.ndarray]
"""Numbers (), vectors (k,) and symmetric matrices (k, k) by name."""


def packed(message: Message) -> np.ndarray:
    """Return a message as one vector.

    Examples
    --------
    >>> packed({"count": np.array(3.0), "squares": np.array([[1.0, 2.0], [2.0, 5.0]])})
    array([3., 1., 2., 5.])
    """
    arrays = (np.asarray(array, dtype=float) for array in message.values())
    return np.concatenate(
        [a[np.triu_indices(len(a))] if a.ndim == 2 else a.reshape(-1) for a in arrays]
    )


def unpacked(vector: np.ndarray, like: Message) -> dict[str, np.ndarray]:
    """Return the message of a vector, with the names and shapes of another message."""
    message: dict[str, np.ndarray] = {}
    at = 0
    for name, example in like.items():
        shape = np.shape(example)
        if len(shape) == 2:
            rows, columns = np.triu_indices(shape[0])
            array: np.ndarray = np.zeros(shape)
            array[rows, columns] = array[columns, rows] = vector[at : at + len(rows)]
            at += len(rows)
        else:
            size = int(np.prod(shape))
            array = np.asarray(vector[at : at + size]).reshape(shape)
            at += size
        message[name] = array
    return message


RESOLUTION = 2.0**-24
# Sums must stay below this, in units of the resolution.
_LARGEST = 2.0**62


def encoded(numbers: np.ndarray, sites: int) -> np.ndarray:
    """Return numbers as residues modulo 2^64, shape (n,).

    Raises
    ------
    DivergenceError
        If a number is so large, or not finite, that the sum of ``sites`` messages may overflow.
    """
    whole = np.rint(numbers / RESOLUTION)
    if not np.all(np.abs(whole) < _LARGEST / sites):
        raise DivergenceError("a message is too large for the fixed-point numbers of the masks")
    return whole.astype(np.int64).view(np.uint64)


def decoded(residues: np.ndarray) -> np.ndarray:
    """Return the numbers of residues."""
    return residues.view(np.int64).astype(float) * RESOLUTION


def masked(residues: np.ndarray, site: int, sites: int, seed: int, index: int) -> np.ndarray:
    """Return the message of one of ``sites`` sites under its masks.

    The seed determines the keys. Each round, counted by ``index``, has masks of its own.
    """
    hidden = residues.copy()
    for other in range(sites):
        if other == site:
            continue
        low, high = sorted((site, other))
        rng = generator(seed, f"federated/mask/{low}/{high}", index)
        mask = rng.integers(0, 2**64, size=len(residues), dtype=np.uint64)
        hidden = hidden + mask if site == low else hidden - mask
    return hidden


def summed(messages: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of residues modulo 2^64."""
    return np.asarray(np.sum(messages, axis=0, dtype=np.uint64))


@dataclass(frozen=True)
class MessageRound:
    """One round: what the server sent to each site (n,), and the bytes to and from all sites."""

    question: str
    sent: np.ndarray
    bytes_down: int
    bytes_up: int


@dataclass
class Channel:
    """The connection of the server with ``count`` sites, and the rounds so far.

    If it is secure, messages are masked; the seed determines the masks.
    """

    count: int
    secure: bool
    seed: int
    rounds: list[MessageRound] = field(default_factory=list)

    def ask(
        self,
        question: str,
        sent: np.ndarray,
        answers: Sequence[Callable[[], Message]],
        units: Message,
    ) -> dict[str, np.ndarray]:
        """Return the sum of the messages with which the sites answer the numbers sent to each.

        Masked messages are rounded in the public units of their entries.
        """
        messages = [answer() for answer in answers]
        vectors = [packed(message) for message in messages]
        if self.secure:
            scale = packed({name: units[name] for name in messages[0]})
            index = len(self.rounds)
            hidden = [
                masked(encoded(vector / scale, self.count), site, self.count, self.seed, index)
                for site, vector in enumerate(vectors)
            ]
            total, sizes = scale * decoded(summed(hidden)), [array.nbytes for array in hidden]
        else:
            total, sizes = np.sum(vectors, axis=0), [vector.nbytes for vector in vectors]
        down = np.asarray(sent, dtype=float).nbytes * self.count
        self.rounds.append(MessageRound(question, np.array(sent, dtype=float), down, sum(sizes)))
        return unpacked(total, messages[0])

    def send(self, name: str, sent: np.ndarray) -> None:
        """Send numbers to each site, which does not answer."""
        self.rounds.append(
            MessageRound(name, np.array(sent, dtype=float), sent.nbytes * self.count, 0)
        )
