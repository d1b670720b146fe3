"""Images: finding them, splitting them, and turning them into a network's input."""
