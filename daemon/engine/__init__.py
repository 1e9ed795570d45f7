"""The embedded engine: an HTTP server that speaks Deepgram's protocol and works without a network.

upload -> query -> workers -> [worker process: decode -> recognize -> sentences -> intelligence (embed,
sentiment, labels, summary) -> reply, shapes]. Every request runs in a process of its own: a broken recording
must not take the server with it. Nothing here imports the rest of earshot but its errors.
"""
