"""What people read: what commands print, commands to be typed next, words inside Markdown."""
