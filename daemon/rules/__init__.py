"""Whether a rule holds for a conversation, and why. Pure."""
