"""Images for proving files: validation images, drawn stress images, and deliberate mistakes."""
