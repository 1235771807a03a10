"""The command line: which command lives where."""
