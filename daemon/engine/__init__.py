"""The embedded engine: an HTTP server that speaks Deepgram's `POST /v1/listen` and works without a network.

upload -> query -> workers -> [worker process: decode -> recognize -> sentences -> sentiment, intents, topics,
summary -> reply]. Every request runs in a process of its own: pocketsphinx holds the interpreter's lock while
it works, and a broken recording must not take the server with it. Nothing here imports the rest of earshot.
"""
