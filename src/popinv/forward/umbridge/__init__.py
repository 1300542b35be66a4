"""A simulator of one's own behind the UM-Bridge protocol."""
