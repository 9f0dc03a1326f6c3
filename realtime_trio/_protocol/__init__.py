"""Between text and values: events in JSON, the two dialects, addresses and keys.  Pure."""
