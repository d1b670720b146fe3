"""A saved Core ML package as a program: the operations that the file has, with its own weights.

A package on disk -> the evaluator's steps -> one entry of `entries` for each -> a
`pipeline.program.program.Program` in the form in which a network's own program is written, so that
the two can be compared operation by operation and number by number.
"""
