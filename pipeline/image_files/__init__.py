"""Image files as people have them: decoded, upright, in 8-bit RGB; and pixels kept on disk."""
