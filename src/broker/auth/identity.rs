//! Who a connection turned out to be.

use std::sync::Arc;

use super::GLOBAL_ACCOUNT;
use crate::broker::permissions::Permissions;

/// What names a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// A name, or nothing.
    #[default]
    Name,
    /// A public nkey.
    Nkey,
}

/// Who a connection is.
#[derive(Debug)]
pub struct Identity {
    /// The user's name as monitoring shows it; empty for nobody in particular.
    pub user: String,
    /// What that name is.
    pub kind: UserKind,
    /// The account that it belongs to.
    pub account: Arc<str>,
    /// What it may do; `None` for everything.
    pub permissions: Option<Arc<Permissions>>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            user: String::new(),
            kind: UserKind::Name,
            account: GLOBAL_ACCOUNT.into(),
            permissions: None,
        }
    }
}

impl Identity {
    /// Who vouches for an nkey: the account that lists it.
    pub fn issuer_key(&self) -> &str {
        match self.kind {
            UserKind::Name => "",
            UserKind::Nkey => &self.account,
        }
    }
}
