"""A learner of any make: what it must be to be served, and its own module as a program."""
