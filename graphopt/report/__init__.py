"""Reports that show what happened to a graph: pages for a browser, and pictures."""
