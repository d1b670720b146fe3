"""The long commands: each goes through the packages below it, once."""
