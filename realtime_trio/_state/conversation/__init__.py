"""The conversation as the server tells it: from server events to items and utility events."""
