"""Bitrix24 REST: pure conversations, and one thin client which performs them."""
