"""The three services. Each owns its data and its routes, and knows the others by the bus alone."""
