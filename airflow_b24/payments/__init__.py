"""Money coming in: what a payment is, how it is read, and which invoice it proves."""
