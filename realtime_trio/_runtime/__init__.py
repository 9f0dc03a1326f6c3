"""What a session runs on: a nursery with one door for failure, streams of events, and the queue to the socket."""
