"""Every topology through the whole of the product: what it takes, and which files are right.

``names`` has the networks, ``run`` takes them through drawing, compressing and exporting, ``row``
is what a run leaves, ``verdict`` what an artifact's result is called, ``summary`` the tables.
"""
