"""Clients that we did not write, against the sandbox: what they understand, a portal would have said."""
