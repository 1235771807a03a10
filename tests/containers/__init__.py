"""The compose deployment for real: built, started, scaled, killed and restarted on a Docker engine."""
