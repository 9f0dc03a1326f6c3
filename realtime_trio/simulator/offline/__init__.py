"""An agent that needs no service: a small conversation by rules."""
