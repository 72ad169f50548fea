//! Subjects: validity, tokens, wildcard relations, transforms and the subscription index.
//!
//! A *subject* is a non-empty byte string of tokens joined by `.`; no token is
//! empty. Bytes are compared as they are: no case folding, no UTF-8. What ends a
//! subject on the wire (space, tab, CR, LF) is the protocol's business; this
//! module never looks for it.
//!
//! A *pattern* is what a subscription or a permission names. In it, a token that
//! is exactly `*` stands for any one token, and a last token that is exactly `>`
//! for one or more tokens; `foo*`, `>x` and the like are ordinary text. A
//! *literal* is what a message is published to: there `*` and `>` are text, too.
//!
//! The rules were read off nats-server 2.15.1 over a socket.

mod index;
mod relation;
mod token;
mod transform;

pub use index::{Index, IndexFull, Names, PatternId, TextHash};
pub use relation::{is_subset, matches, overlaps};
pub use token::{
    SEPARATOR, TAIL, Tokens, WILDCARD, is_literal, is_valid_publish, is_valid_subscription,
    token_count, tokens,
};
pub use transform::{Transform, TransformError};
