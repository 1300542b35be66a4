"""Pictures of a study: whole systems, the noise before and after, and the rules."""
