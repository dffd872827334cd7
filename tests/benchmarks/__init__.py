"""How fast, and how careful, beside clients that others wrote: measured side by side, never asserted in the test run."""
