"""What the simulated model says: as values, as files, and out of recordings."""
