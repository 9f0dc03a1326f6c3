"""How whole messages travel: the contract of a transport, and the transports that keep it."""
