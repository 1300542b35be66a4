"""The stage of the workflow that adds systems to a study."""
