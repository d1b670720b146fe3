"""The long commands: each walks through the rooms below it, once."""
