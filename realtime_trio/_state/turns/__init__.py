"""The turns of a session: one response at a time, and a reply to what its tools have done."""
