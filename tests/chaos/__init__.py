"""The fault campaign: everything is killed at any moment, and nothing that was finished may be lost."""
