"""Which topology? Many trainings, compared."""
