"""What a person sees of the console, in a real browser."""
