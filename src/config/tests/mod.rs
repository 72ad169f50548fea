//! The configuration as a whole: files, flags and reloads against facts taken from nats-server
//! 2.15.1.

mod files;
mod flags;
mod language;
mod reloads;
mod support;
