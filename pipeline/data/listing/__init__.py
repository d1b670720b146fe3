"""Which images a folder or a table names, and by which labels: names as people write them."""
