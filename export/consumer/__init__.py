"""What a developer of an app runs on a folder that was pulled. The standard library is enough."""
