"""What the nodes of a program compute, in a form in which two programs can be compared."""
