"""The shells of the simulator: tasks, clocks and sockets, who is let in, and what goes wrong."""
