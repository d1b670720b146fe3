"""The formats: one folder each, and one line each in `export.formats.register`."""
