"""The queue and the record."""
