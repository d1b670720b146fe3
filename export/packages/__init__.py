"""The asset folders as packages: code for an app, generated from the manifest."""
