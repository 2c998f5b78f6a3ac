"""What callers of the old WhatsApp gateway, and the gateway itself, go on calling. Contract §1 and §4.2."""
