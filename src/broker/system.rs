//! What a core does for the services of the system account.
//!
//! The services themselves are beside the cores ([`crate::system`]): a request or an event leaves
//! the core as an effect, and answers come back as messages that the core publishes.

use super::close::CloseReason;
use super::connection::Connection;
use super::core::{Core, CoreId};
use super::effect::{CloseMode, Effect};
use super::publish::Message;
use super::subscriptions::SubId;
use crate::protocol::Publish;
use crate::subject::IndexFull;

/// The account of the server's own events and services; it always exists.
pub const SYSTEM_ACCOUNT: u16 = super::accounts::SYSTEM_ACCOUNT_ID;

/// Set in the tokens of subscriptions of the system services.
pub(super) const SYSTEM_TOKEN: u64 = 1 << 63;

/// Requests about the own account, which every account may make.
const ACCOUNT_REQUESTS: [&[u8]; 3] = [
    b"$SYS.REQ.SERVER.PING.CONNZ",
    b"$SYS.REQ.ACCOUNT.PING.CONNZ",
    b"$SYS.REQ.ACCOUNT.PING.STATZ",
];

/// A request to the system services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemRequest {
    /// The core that publishes the answer: it knows the requester's subscription.
    pub via: CoreId,
    /// The account that gets the answer.
    pub account: u16,
    /// Not of the system account: the account that may hear of nothing but itself.
    pub only: Option<String>,
    pub subject: Vec<u8>,
    /// Empty for none.
    pub reply: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Core {
    /// Subscribes the system services to `patterns` in the system account.
    ///
    /// # Errors
    /// If the index is full.
    pub fn subscribe_system(&mut self, patterns: &[String]) -> Result<(), IndexFull> {
        for (number, pattern) in patterns.iter().enumerate() {
            let token = SYSTEM_TOKEN | number as u64;
            self.subscribe_server(SYSTEM_ACCOUNT, pattern.as_bytes(), token)?;
            self.internal.system_subscriptions += 1;
        }
        Ok(())
    }

    /// Subscriptions as figures show them: without those of the system services.
    pub(super) fn shown_subscriptions(&self) -> u64 {
        (self.subs.len() - self.internal.system_subscriptions) as u64
    }

    #[cold]
    pub(super) fn pass_system_request(&mut self, message: &Message<'_>) {
        let payload = &message.body[message.header_len.unwrap_or(0)..];
        self.effects.push(Effect::System(Box::new(SystemRequest {
            via: self.id,
            account: message.account,
            only: None,
            subject: message.shown().to_vec(),
            reply: message.reply.to_vec(),
            payload: payload.to_vec(),
        })));
    }

    /// Takes a request that any account may make about itself. Returns whether it was one.
    pub(super) fn pass_account_request(&mut self, slot: u32, publish: &Publish<'_>) -> bool {
        if publish.reply.is_empty() || !ACCOUNT_REQUESTS.contains(&publish.subject) {
            return false;
        }
        let Some(conn) = self.conn(slot) else {
            return false;
        };
        let account = conn.account;
        if account == SYSTEM_ACCOUNT {
            return false;
        }
        let only = Some(self.account_name(conn).to_owned());
        let payload = &publish.body[publish.header_len.unwrap_or(0)..];
        self.effects.push(Effect::System(Box::new(SystemRequest {
            via: self.id,
            account,
            only,
            subject: publish.subject.to_vec(),
            reply: publish.reply.to_vec(),
            payload: payload.to_vec(),
        })));
        true
    }

    fn has_system_interest(&self, subject: &str) -> bool {
        self.has_interest(SYSTEM_ACCOUNT, subject.as_bytes())
    }

    fn announces_count(&self, account: &str) -> bool {
        self.has_system_interest(&format!("$SYS.ACCOUNT.{account}.SERVER.CONNS"))
            || self.has_system_interest(&format!("$SYS.SERVER.ACCOUNT.{account}.CONNS"))
    }

    /// Whether anybody hears how many connections an account has.
    pub fn announces_any_count(&self) -> bool {
        let accounts = &self.settings.accounts;
        accounts
            .existing()
            .any(|account| self.announces_count(account.name()))
    }

    pub(super) fn announces_begin(&self, conn: &Connection) -> bool {
        let account = self.account_name(conn);
        self.has_system_interest(&format!("$SYS.ACCOUNT.{account}.CONNECT"))
            || self.announces_count(account)
    }

    pub(super) fn announces_end(&self, conn: &Connection, reason: CloseReason) -> bool {
        let account = self.account_name(conn);
        self.has_system_interest(&format!("$SYS.ACCOUNT.{account}.DISCONNECT"))
            || self.announces_count(account)
            || (reason == CloseReason::AuthenticationFailure
                && self.has_system_interest(&format!(
                    "$SYS.SERVER.{}.CLIENT.AUTH.ERR",
                    self.settings.identity.server_id
                )))
    }

    /// Closes connection `cid`, because an operator wants it to go. Returns whether it is one of
    /// this core.
    pub fn kick(&mut self, cid: u64) -> bool {
        let slot = self.cid_slots.get(&cid).copied();
        if let Some(slot) = slot {
            self.close(slot, CloseReason::Kicked, CloseMode::AfterFlush);
        }
        slot.is_some()
    }

    /// Asks connection `cid` to go, as in lame duck mode. Returns whether it is one of this core.
    pub fn ask_to_leave(&mut self, cid: u64) -> bool {
        let slot = self.cid_slots.get(&cid).copied();
        if let Some(slot) = slot {
            let before = std::mem::replace(&mut self.lame_duck, true);
            self.send_info_update(slot);
            self.lame_duck = before;
        }
        slot.is_some()
    }

    /// Subscriptions of this core's clients in `account` that a message to `subject` would reach.
    pub fn count_subscribers(&self, account: &str, subject: &[u8]) -> u64 {
        let of_account = self.live().filter(|c| self.account_name(c) == account);
        of_account
            .map(|conn| {
                let entry = &self.accounts[usize::from(conn.account)];
                let reached = |&&id: &&u32| {
                    let pattern = self.subs.get(SubId(id)).pattern;
                    crate::subject::matches(entry.subject(pattern), subject)
                };
                conn.sids.iter().filter(reached).count() as u64
            })
            .sum()
    }
}
