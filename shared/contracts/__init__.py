"""The messages that services exchange: one module per noun, importing nothing but pydantic."""
