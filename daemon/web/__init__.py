"""The web pages: see, hear and judge what is in the database."""

# First: it has sqlite-utils loaded without what that does not need.
import daemon.storage  # noqa: F401
