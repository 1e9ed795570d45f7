"""Which files are in the watched folders that the database does not have as they are."""
