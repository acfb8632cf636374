"""Files from people who wish us ill, or whose disk does: made here, never downloaded."""
