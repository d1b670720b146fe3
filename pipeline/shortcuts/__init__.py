"""What could a model have learnt instead of the disease?"""
