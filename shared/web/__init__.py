"""What the three services share towards HTTP: strict bodies, one edge for errors, headers, cookies, the server."""
