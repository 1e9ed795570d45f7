"""Earshot: watches folders for recordings, has Deepgram analyze them, stores the results, alerts people.

The way of a recording is one way only: watching, intake, the queue in SQLite, analysis, a result with its
alerts in one transaction, delivery. What is left of the queue may be lost and is found again by the next
listing; right of it nothing may be lost.
"""

__version__ = "0.1.0"
