"""What keeps a session going when its link does not."""
