"""What data can be chosen."""
