"""What could a model have learnt instead of what it looks for?"""
