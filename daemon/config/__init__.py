"""The configuration file: its models, how it is read, where its secrets come from."""

import os

# Else pydantic looks through all installed packages for plugins, for a fiftieth of a second at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
