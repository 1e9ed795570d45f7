"""The configuration file: its models, how it is read, where its secrets come from."""
