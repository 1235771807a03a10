"""What runs Latchkey: the command line, the embedded servers, everything in one process, the containers."""
