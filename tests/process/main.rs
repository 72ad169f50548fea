//! The program as the operating system sees it: flags, files, signals, exit statuses.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod flags;
mod host;
mod reload;
mod signals;
