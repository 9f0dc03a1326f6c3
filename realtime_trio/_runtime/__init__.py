"""What a session runs on: a nursery, streams of events, and the queue to the socket."""
