"""The golden pack: image files with the pixels and probabilities that they must become.

An app that replays it knows whether a wrong answer comes from its preprocessing or from the model.
"""
