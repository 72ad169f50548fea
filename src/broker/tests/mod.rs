//! Whole cores, driven without sockets.

mod accounts;
mod back_pressure;
mod driver;
mod gates;
mod queue_picks;
mod routes;
mod runs;
mod sessions;
mod subscriptions;
mod timers;
