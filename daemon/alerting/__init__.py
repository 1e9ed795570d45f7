"""From a stored result to a message at a person: rules, texts, delivery."""
