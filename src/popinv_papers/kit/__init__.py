"""What the reproductions share: claims with their measurements, kept parts, and real data."""
