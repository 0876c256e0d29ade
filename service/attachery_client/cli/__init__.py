"""The command line `attachery`, which comes with the client."""
