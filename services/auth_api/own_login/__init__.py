"""Signing people in by the site's own login: it keeps its users, and Latchkey keeps none of their passwords."""
