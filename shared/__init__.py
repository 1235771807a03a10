"""What the services have in common, and what none of them owns alone. Imports nothing else of ours."""
