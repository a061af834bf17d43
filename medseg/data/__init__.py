"""From a folder of scans to patches that a network can learn from."""
