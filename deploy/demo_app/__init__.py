"""Owns the sample integrator "Epic Games": a site of its own that knows Latchkey by its public interface alone.

It imports nothing of the services: what an integrator would write, and no more.
"""
