"""The chat-completions format, both ways; the HTTP around it is in `simulator.chat_completions`."""
