"""The one SQLite file: the queue, the results and the outbox. Nothing outside this folder writes SQL."""
