//! Who gets in, by what proof: nkeys and JWT, over real sockets.
//!
//! Facts were observed on nats-server 2.15.1; run these tests against one with
//! `RINGWIRE_TEST_SERVER=/path/to/nats-server`.

#[path = "../common/mod.rs"]
mod common;

mod nkey_users;
mod operator_mode;
mod signer;
mod tree;
