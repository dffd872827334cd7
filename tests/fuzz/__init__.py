"""Every parser against inputs that nobody meant to send."""
