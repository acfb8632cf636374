"""What is made of the record: frontier, comparability, statistics, figures, export."""
