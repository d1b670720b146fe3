"""Commands for app developers, which need the standard library alone."""
