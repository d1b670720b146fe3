"""Runs a saved Core ML package without a Mac.

package -> values -> constants -> operations -> evaluate: a folder on disk is read with
`coremltools.proto` alone, so that the converter does not grade itself; constants are decompressed;
operations run in torch. Nothing is guessed: a file with operations that the evaluator lacks cannot
run here, and they are named; anything else unknown is an error.

Sources: the Core ML specification's protobuf files and the definitions of the MIL operations, both
as coremltools 9.0 publishes them. Not compared with Apple's runtime: only a Mac
can show whether Core ML's compiler accepts a package, and what the Neural Engine computes.
"""
