"""The golden pack: image files, and the pixels and probabilities that they must give.

An app that replays it finds out whether a wrong output comes from its preprocessing or its model.
"""
