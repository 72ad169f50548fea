//! The hot path does not allocate, and memory is bounded: measured with a
//! counting allocator around whole cores.

mod bounds;
mod cluster;
mod counting;
mod steady;
mod stream;
