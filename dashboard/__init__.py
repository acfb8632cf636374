"""The page: shows the record, asks for runs, and never runs one itself."""
