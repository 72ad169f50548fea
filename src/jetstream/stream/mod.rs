//! One stream.

pub mod config;
