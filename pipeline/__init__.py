"""Images in, checkpoint out. Knows fastai; knows nothing of deployment.

From Python: `pipeline.api`.
"""
