"""A learner's own module, whatever it is, as the program that its checkpoint keeps."""
