"""Is the network in a file the checkpoint's, operation by operation and number by number?"""
