"""The work that strangers cause grows with what they send and not faster: every function that reads it is measured."""
