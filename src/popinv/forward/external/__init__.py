"""What the simulators of one's own share, however they are called."""
