//! Logs and journals on a simulated disk that fails in every way, against naive models.
//!
//! Every case comes from a seed; a failure prints it. `STORE_SEED=n` runs that one alone,
//! `STORE_CASES=n` another number of them, `STORE_TRACE=1` shows what the disk does.

mod crash_points;
mod damage;
mod faults;
mod harness;
mod journal;
mod random;
mod space;
