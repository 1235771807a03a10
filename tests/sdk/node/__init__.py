"""The Node package: its own tests, its types, and programs made from its README alone beside a running Latchkey."""
