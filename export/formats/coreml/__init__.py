"""Core ML: ML programs in an .mlpackage, and an evaluator that runs them anywhere."""
