"""How it is measured: timing, memory, stability, environment."""
