"""Faults by kind: of weights, structure, graph, declarations, files and folders; and controls."""
