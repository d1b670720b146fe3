"""Images that files are proven on: of the checkpoint, drawn to be hard, and mistaken on purpose."""
