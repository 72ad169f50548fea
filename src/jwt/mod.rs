//! Decentralised identity: claims of operators, accounts, users and activations.
//!
//! A token is three parts in base64 without padding, joined by dots: header, claims, and a
//! signature by the nkey that the claims name as their issuer. Operators vouch for accounts,
//! accounts for users and activations, each directly or by a signing key.
//!
//! Read off nats-server 2.15.1 over a socket, and the format documented with its JWT library:
//!
//! - Version 2 signs header and claims; version 1, whose type stands beside `nats` and not in it,
//!   signs the claims only. A newer version is refused.
//! - Where a user's claims are signed by a scoped signing key, permissions and limits are those of
//!   the scope, and the user's own must be absent.
//!
//! Sans-I/O: text and the time go in, claims and reasons come out.

mod account;
mod limits;
mod operator;
mod scope;
mod token;
mod user;

pub use account::{
    AccountData, AccountLimits, ActivationData, ExportData, ExportKind, ImportData,
    JetStreamLimits, LatencyData, MappingData, SigningKey,
};
pub use limits::{Window, allowed_address, allowed_time};
pub use operator::{OperatorData, Trust, TrustError};
pub use scope::{Expansion, ScopeError, expand};
pub use token::{Claims, ClaimsData, TOKEN_BYTES_MAX, TokenError, decode};
pub use user::{PermissionData, ResponseData, SubjectsData, TimeRange, UserData, UserLimits};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
