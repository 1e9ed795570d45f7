"""The protocol of Deepgram's API: requests, replies, errors and prices. No database, no policy."""
