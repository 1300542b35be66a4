"""Where, when and how often to observe how many systems: designs of experiments on populations."""
