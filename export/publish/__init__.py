"""Proven files become asset folders, archives and a site."""
