//! A stream in memory between a bus and consumers that only take notes.

mod batches;
mod limits;
mod managing;
mod publishing;
mod support;
mod times;
