"""The pure rules of the protocol, each test named after the clause it holds us to."""
