"""What is due by the clock: digests, and telling operations."""
