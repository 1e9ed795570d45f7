"""Earshot: watches folders for recordings, has Deepgram analyze them, stores the results, alerts people.

The way of a recording is one way only:

    watch -> settle -> queue -> analyze -> results -> rules -> outbox -> notify

Watch and settle find complete files; events are hints, directory listings are the truth. The queue and
the outbox are rows in SQLite: left of the queue anything may be lost and is found again by the next scan,
right of it nothing may be lost. A result and the alerts it causes are stored in one transaction; notify
sends them afterwards. Each stage is a folder of this package; `service` puts them together.
"""

__version__ = "0.1.0"
