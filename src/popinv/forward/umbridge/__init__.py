"""The user's own simulator behind the UM-Bridge protocol."""
