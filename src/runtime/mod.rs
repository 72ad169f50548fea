//! Threads, rings, sockets, clocks and files: the only layer that does I/O.
