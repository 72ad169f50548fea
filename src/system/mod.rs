//! The services and events of the system account.
//!
//! Tools that manage servers talk to them through subjects under `$SYS`: they listen to events
//! and ask for figures, and sometimes for an action. All of it is pure here: a request's subject
//! and options become an [`Ask`], what the runtime gathers for it becomes an answer, and a client
//! that comes or goes becomes the messages of an [`events::Announcement`]. Subjects, keys, order
//! and error texts are those of nats-server 2.15.1, asked over a socket.
//!
//! | file | idea |
//! |---|---|
//! | `ask` | from subject and payload to what is asked for |
//! | `options` | the JSON options of requests |
//! | `answer` | the envelope around answers |
//! | `events` | clients that come and go, account figures, the server's own life |
//! | `schedule` | when the server speaks by itself |

mod answer;
mod ask;
pub mod events;
mod options;
mod schedule;

pub use answer::{Answer, Stamper};
pub use ask::{Ask, Asked, Part, REQUEST_BYTES_MAX, patterns};
pub use schedule::{Due, Schedule};
