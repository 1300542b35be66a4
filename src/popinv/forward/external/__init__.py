"""Code that all kinds of the user's own simulators share."""
