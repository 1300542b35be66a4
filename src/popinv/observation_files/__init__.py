"""Files of the user's own observations: a row per system, in CSV, NetCDF or zarr."""
