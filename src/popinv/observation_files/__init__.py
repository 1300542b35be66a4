"""Files of the user's own observations: a row per system, in CSV, NetCDF or zarr."""

from popinv.observation_files.reading import read_observations
from popinv.observation_files.table import ObservationTable

__all__ = ["ObservationTable", "read_observations"]
