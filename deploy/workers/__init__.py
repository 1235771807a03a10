"""Several processes of one service behind one port, and replacing them one by one without losing a request."""
