"""What a process tells of itself: owns its logs, metrics and traces, and the ids by which they belong together."""
