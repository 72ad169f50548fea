//! Accounts: subject spaces that see nothing of each other but what one exports
//! and another imports.
//!
//! [`AccountRules`] is what a configuration or a JWT says about one account;
//! [`AccountTable`] is the same for all of them, checked, immutable and shared
//! by all cores. Its ids stand for accounts everywhere: on connections, in
//! cached routes and in the records between cores.

mod claims;
mod compile;
mod links;
mod mapping;
mod rules;
mod table;

pub use links::{
    Crossing, DEFAULT_RESPONSE_THRESHOLD, Links, Rewrite, RewriteError, ServiceLink, ServiceTerms,
    StreamLink,
};
pub use mapping::{Mapping, MappingError, check_mapping};
pub use rules::{
    Access, AccountLimits, AccountRules, JetStreamLimits, JetStreamRules, LatencyRule,
    MappingDestination, MappingRule, ResponseKind, Sampling, ServiceExport, ServiceImport,
    StreamExport, StreamImport,
};
pub use table::{
    AccountEntry, AccountError, AccountTable, DEFAULT_SYSTEM_ACCOUNT, GLOBAL_ACCOUNT_ID,
    GLOBAL_ACCOUNT_NAME, MAX_ACCOUNTS, SYSTEM_ACCOUNT_ID,
};
