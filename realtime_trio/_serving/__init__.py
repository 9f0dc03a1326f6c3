"""A server on a port, whatever it serves: HTTP, WebSockets, who may ask, and what is recorded."""
