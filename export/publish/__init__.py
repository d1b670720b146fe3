"""Make asset folders, archives and a site from proven files."""
