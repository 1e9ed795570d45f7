"""From a rule that holds to a message at a person: text, volume, delivery."""
