"""WhatsApp by WPPConnect: what its webhooks say, understood. Sessions are not kept yet."""
