"""Faces browsers: owns the pages, and no data."""
