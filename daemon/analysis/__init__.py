"""From a waiting recording to its stored result: one request to the API and everything it can answer."""
