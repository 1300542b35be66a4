"""What was measured, and how it is shown in the pages of the methods."""
