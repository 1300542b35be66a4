"""Pictures of what a study is about: whole systems, the noise before and after, and the rules."""
