"""What models can be chosen, and how each family is made, fed, shrunk and exported."""
