"""Results as files to pass on, a module per kind of file. Pure: the caller passes in what to write."""
