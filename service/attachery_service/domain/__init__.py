"""What the service means by its words: pure, of the standard library only."""
