"""Wave numbers of cosine expansions, and the parameters of the fields built from them.

The fields themselves are in `popinv.forward.fields`, which compiles their loops; what stands here
is quick to import.
"""

from __future__ import annotations

import itertools

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Parameter


def wavenumbers(dimension: int, modes: int) -> np.ndarray:
    """Multi-indices k_j of the cosine functions, in the order of the parameters.

    In one dimension k = 1, ..., ``modes``. In two dimensions all (k_1, k_2) other than (0, 0)
    with both entries in 0, ..., ``modes`` - 1, sorted by k_1**2 + k_2**2 and, where that is
    equal, by (k_1, k_2) as in a dictionary.

    Parameters
    ----------
    dimension : {1, 2}
        Number of space dimensions.
    modes : int
        Number of wavenumbers per direction, at least 1 in one and 2 in two dimensions.

    Returns
    -------
    ndarray of int, shape (n_modes, dimension)
        n_modes is ``modes`` in one and ``modes**2 - 1`` in two dimensions.

    Raises
    ------
    ConfigError
        If the dimension is neither 1 nor 2, or there would be no function.

    Examples
    --------
    >>> wavenumbers(2, 2).tolist()
    [[0, 1], [1, 0], [1, 1]]
    """
    if dimension not in (1, 2):
        raise ConfigError(f"The dimension of a field is 1 or 2, not {dimension!r}.")
    if isinstance(modes, bool) or modes != int(modes) or modes < dimension:
        raise ConfigError(
            f"A field in {dimension} dimension(s) needs modes >= {dimension}, a whole number; "
            f"it got {modes!r}."
        )
    if dimension == 1:
        return np.arange(1, int(modes) + 1)[:, None]
    pairs = [k for k in itertools.product(range(int(modes)), repeat=2) if k != (0, 0)]
    return np.array(sorted(pairs, key=lambda k: (k[0] ** 2 + k[1] ** 2, k)))


def cosine_parameters(dimension: int, modes: int, quantity: str) -> tuple[Parameter, ...]:
    """Return the parameters of a cosine series for the quantity: its mean and its coefficients."""
    mean = Parameter("mean", long_name=f"mean of the {quantity}")
    return (mean, *_coefficients(dimension, modes, quantity))


def level_set_parameters(dimension: int, modes: int, quantity: str) -> tuple[Parameter, ...]:
    """Return the parameters of two materials: the quantity in each, and the level set's modes."""
    return (
        Parameter("log_kappa_1", long_name=f"{quantity} where the level set is negative"),
        Parameter("log_kappa_2", long_name=f"{quantity} where the level set is positive"),
        *_coefficients(dimension, modes, "level-set function"),
    )


def _coefficients(dimension: int, modes: int, function: str) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name="mode_" + "_".join(str(number) for number in k),
            long_name=f"coefficient of cosine mode {', '.join(map(str, k))} of the {function}",
        )
        for k in wavenumbers(dimension, modes).tolist()
    )
