//! The state machine of one core: events in, effects out.
//!
//! A [`Core`] owns the connections that were accepted for it, their
//! subscriptions, a replica of every other core's interest, and the output
//! that waits to be sent. It never touches a socket, a file, a clock or a
//! source of randomness: the runtime (or the simulator) feeds it received
//! bytes, completions, records from other cores and the time, and carries out
//! the [`Effect`]s it asks for.
//!
//! | file | idea |
//! |---|---|
//! | `core` | the state and the entry points |
//! | `ingest` | received bytes to commands to actions |
//! | `publish`, `deliver` | routing one message to everyone who is to have it |
//! | `interest`, `subscriptions` | who wants what, here and on other cores |
//! | `cross`, `responses` | messages that cross from one account into another, and back |
//! | `route` | a subject resolved to targets, and the cache of those |
//! | `mesh`, `wire` | what cores say to each other, and its encoding |
//! | `stamp`, `system` | what cores tell the services of the system account |
//! | `internal` | subscriptions and messages of the server itself |
//! | `output`, `sid` | memory layout of waiting output and of sids |
//! | `stall` | slow consumers and back-pressure |
//! | `frugal` | how arrays of millions of entries grow |
//! | `opening` | connections whose transport has to come up first |
//! | `tls` | what is known of the TLS under a connection |
//! | `timers` | pings, stale connections, deadlines |
//! | `reload` | new settings while connections are open |
//! | `close` | how and why a connection ends |
//! | `accounts` | subject spaces, and what crosses their boundaries |
//! | `auth`, `permissions` | who may connect, and what they may do |

pub mod accounts;
pub mod auth;
pub mod close;
pub mod connection;
pub mod core;
mod cross;
mod deliver;
pub mod effect;
mod frugal;
mod ingest;
pub mod interest;
mod internal;
mod lifetime;
mod mesh;
mod opening;
pub mod output;
pub mod permissions;
mod publish;
mod reload;
mod responses;
pub mod route;
mod run;
pub mod settings;
pub mod sid;
mod snapshot;
mod stall;
mod stamp;
pub mod subscriptions;
pub mod system;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod tls;
mod trace;
pub mod wire;
mod write_deadline;

pub use self::close::CloseReason;
pub use self::core::{Core, CoreId, Now};
pub use self::effect::{CloseMode, Effect, LogLevel};
pub use self::internal::{Arrival, Inbox, ServerClient, ServerDelivery, ServerMessage};
pub use self::mesh::{OUTBOX_PAUSE_BYTES, OUTBOX_PAUSE_BYTES_MIN};
pub use self::opening::{Kind, NewConnection, Opening, UpgradeFacts};
pub use self::output::{Batch, Segment};
pub use self::settings::{ServerIdentity, Settings, WebSocketSettings};
pub use self::snapshot::SubscriptionFilter;
pub use self::stamp::ServerStamp;
pub use self::system::SystemRequest;
pub use self::tls::{TlsFacts, TlsRules};
