"""The competing defences: objectives by name, which the one training loop makes small in place of the plain loss."""
