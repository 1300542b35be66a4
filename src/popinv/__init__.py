"""Populational inverse problems: the law of the parameters and of the noise.

From a pool of noisy observations, one of each member of a population, the
package recovers the law of the parameters over the population and the law of
the observation noise together. Import the subpackages by name. Nothing is imported here, so that a
job only imports the modules that it uses.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("popinv")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
