"""The web pages: see, hear and judge what is in the database."""
