//! A stream in memory between a bus and consumers that only take notes.

mod batches;
mod fast_batches;
mod following;
mod following_cores;
mod limits;
mod managing;
mod publishing;
mod schedules;
mod support;
mod times;
