"""What is printed: by every command, and of commands to be typed next."""
