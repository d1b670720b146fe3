"""What an asset folder says of itself: the document that publishing writes and all others read."""
