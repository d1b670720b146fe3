"""The formats: a folder each, and a line each in `export.formats.register`."""
