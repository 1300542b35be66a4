"""Parameters whose distribution has no prescribed shape."""
