"""From a shared folder to rows in the queue: which files are there, and which of them are complete."""
