"""Readers that turn what a bank sends into payments."""
