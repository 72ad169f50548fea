//! What the monitoring endpoints say, from snapshots of the cores.
