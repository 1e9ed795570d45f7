"""From a waiting recording to its stored result: one request to the API, and all that may come of it."""
