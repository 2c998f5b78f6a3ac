"""What older software calls: its paths, shapes and status codes, with doors of our own in front."""
