"""Machines that send what people would not think of, by the description of the REST interface."""
