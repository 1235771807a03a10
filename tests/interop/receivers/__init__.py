"""Programs that receive webhooks with the published libraries of their languages."""
