"""The tasks that are no verb of the forward graph: they walk it backwards, look at it, or go round it."""
