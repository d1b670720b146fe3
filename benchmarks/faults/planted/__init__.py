"""The faults by idea: of weights, structure, graph, declarations, files and folders; controls."""
