"""The rules of the sample site."""
