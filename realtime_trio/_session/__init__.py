"""Sessions: how the machines, the runtime and a transport become one thing to talk with."""
