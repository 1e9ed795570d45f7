"""Which of the files that are there are complete, and what they become in the queue."""
