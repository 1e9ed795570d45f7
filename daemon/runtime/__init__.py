"""Building the parts from one configuration, joining them, and the life of the process."""
