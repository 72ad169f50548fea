//! New settings while connections are open.

use std::sync::Arc;

use super::auth::{Standing, UserKind};
use super::close::CloseReason;
use super::connection::Phase;
use super::core::Core;
use super::effect::{CloseMode, Effect, LogLevel};
use super::interest::Account;
use super::permissions::SubscribeVerdict;
use super::publish::quoted;
use super::settings::Settings;
use super::subscriptions::SubId;
use crate::protocol::ErrorText;
use crate::protocol::render::PermissionsViolation;

/// The smaller of two limits, of which there may be none.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Core {
    /// New settings, from a reload.
    pub fn reload(&mut self, settings: Arc<Settings>) {
        let info_changed = settings.identity != self.settings.identity
            || settings.max_payload != self.settings.max_payload;
        let before = Arc::clone(&self.settings);
        let accounts_changed = !Arc::ptr_eq(&settings.accounts, &before.accounts);
        let auth_changed = !Arc::ptr_eq(&settings.auth, &before.auth) || accounts_changed;
        self.settings = settings;
        if accounts_changed {
            self.accounts_changed();
        }
        let slots: Vec<u32> = self.slots().collect();
        for slot in slots {
            if auth_changed {
                self.recheck_identity(slot, &before);
            }
            if info_changed {
                self.send_info_update(slot);
            }
            self.schedule(slot);
        }
    }

    /// Closes `count` connections, the newest first, because fewer are allowed now.
    pub fn close_surplus(&mut self, count: usize) {
        let mut newest: Vec<(u64, u32)> = self
            .slots()
            .filter_map(|slot| Some((self.conn(slot)?.cid, slot)))
            .collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, slot) in newest.into_iter().take(count) {
            self.log_connection(LogLevel::Error, slot, "maximum connections exceeded");
            self.close_with_error(
                slot,
                ErrorText::MaxConnections,
                CloseReason::MaxConnectionsExceeded,
            );
        }
    }

    /// After a reload of the users: who is no longer among them, or has another
    /// password now, is closed; the others get their new permissions.
    fn recheck_identity(&mut self, slot: u32, before: &Settings) {
        let settings = Arc::clone(&self.settings);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let (auth, before) = (settings.auth_of(conn.kind), before.auth_of(conn.kind));
        let verifying = conn.phase == Phase::Verifying;
        let (user, kind) = match (conn.phase, &conn.options, &conn.identity) {
            (Phase::Opening | Phase::Unauthenticated | Phase::Closing, _, _) => return,
            (Phase::Verifying, Some(options), _) if !options.nkey.is_empty() => {
                (&*options.nkey, UserKind::Nkey)
            }
            (Phase::Verifying, Some(options), _) => (&*options.user, UserKind::Name),
            (_, _, Some(identity)) => (&*identity.user, identity.kind),
            _ => ("", UserKind::Name),
        };
        let standing = match &conn.identity {
            Some(identity) if identity.token.is_some() => auth.still_trusts(before, identity),
            _ if verifying && auth.is_trusted() => return,
            _ => auth.still_accepts(before, user, kind),
        };
        let account = conn.account;
        let user = user.to_owned();
        let accounts = &settings.accounts;
        let standing = match standing {
            // An account that ended takes its connections along, and nobody moves to another.
            Standing::Stays(identity) => match accounts.id(&identity.account) {
                Some(id) if verifying || id == account => Standing::Stays(identity),
                _ => Standing::Gone,
            },
            other => other,
        };
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        match standing {
            // Who it is if the proof is good.
            Standing::Stays(identity) if verifying => conn.identity = Some(identity),
            Standing::Stays(identity) => {
                conn.set_identity(identity, account);
                self.enter_account(slot, account);
                self.recheck_subscriptions(slot);
            }
            Standing::Gone if !verifying => {
                self.close(slot, CloseReason::ClientClosed, CloseMode::AfterFlush);
            }
            Standing::Revoked => self.revoke_credentials(slot),
            Standing::Dismissed => {
                self.close(
                    slot,
                    CloseReason::AuthenticationFailure,
                    CloseMode::AfterFlush,
                );
            }
            Standing::Gone | Standing::Refused => {
                let who = format!("authentication error - User {user:?}");
                self.log_connection(LogLevel::Error, slot, &who);
                self.refuse_credentials(slot);
            }
        }
    }

    /// Makes the accounts of the new table exist.
    pub(super) fn accounts_changed(&mut self) {
        let table = Arc::clone(&self.settings.accounts);
        let mut linked = false;
        if let Some(last) = table.all().last() {
            self.ensure_account(last.id);
        }
        for (account, entry) in self.accounts.iter_mut().zip(table.all()) {
            if &*account.name != entry.name() {
                account.name = entry.name().into();
            }
            account.links = table.links(entry.id).cloned().unwrap_or_default();
            // Routes lead elsewhere now.
            account.generation += 1;
            linked |= account.has_links();
        }
        self.internal.watches.linked = linked;
        self.internal.watches.note_all();
        self.responses.retain(|response| {
            let links = table.links(response.account);
            links.is_some_and(|links| links.services.iter().any(|s| s.terms == response.terms))
        });
        self.subscribe_responses();
    }

    /// The connection's account and user give it its limits. Returns false, and closes it, if the account
    /// has too many connections already.
    pub(super) fn enter_account(&mut self, slot: u32, account: u16) -> bool {
        let table = Arc::clone(&self.settings.accounts);
        let Some(entry) = table.get(account) else {
            return false;
        };
        let entered = self.conn(slot).and_then(|conn| conn.entered);
        if entered != Some(account) {
            self.leave_account(slot);
            if !entry.admit_connection() {
                // Twice, as nats-server.
                for _ in 0..2 {
                    self.log_connection(
                        LogLevel::Error,
                        slot,
                        "maximum account active connections exceeded",
                    );
                }
                self.close_with_error(
                    slot,
                    ErrorText::MaxAccountConnections,
                    CloseReason::MaxAccountConnectionsExceeded,
                );
                return false;
            }
        }
        let mapped = table
            .links(account)
            .is_some_and(|links| !links.mappings.is_empty());
        if let Some(conn) = self.conn_mut(slot) {
            let of_account = &entry.rules.limits;
            let of_user = conn.identity.as_ref().and_then(|i| i.token.as_deref());
            let payload = of_user.and_then(|user| user.max_payload);
            let subscriptions = of_user.and_then(|user| user.max_subscriptions);
            conn.max_payload =
                least(payload, of_account.max_payload).and_then(|max| i64::try_from(max).ok());
            conn.max_subscriptions = least(subscriptions, of_account.max_subscriptions)
                .map(|max| usize::try_from(max).unwrap_or(usize::MAX));
            conn.entered = Some(account);
            conn.mapped = mapped;
        }
        true
    }

    /// The connection is in no account any more.
    pub(super) fn leave_account(&mut self, slot: u32) {
        let entered = self.conn_mut(slot).and_then(|conn| conn.entered.take());
        if let Some(entry) = entered.and_then(|account| self.settings.accounts.get(account)) {
            entry.release_connection();
        }
    }

    /// Another core may know of a new account first.
    pub(super) fn ensure_account(&mut self, id: u16) {
        while self.accounts.len() <= usize::from(id) {
            self.accounts.push(Account::new("", self.seed));
        }
    }

    fn recheck_subscriptions(&mut self, slot: u32) {
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let ids: Vec<SubId> = conn.sids.iter().map(|&id| SubId(id)).collect();
        let account = conn.account;
        for id in ids {
            let sub = self.subs.get(id);
            let subject = self.accounts[usize::from(account)]
                .subject(sub.pattern)
                .to_vec();
            let queue = self.queues.name(sub.queue).to_vec();
            match self.may_subscribe(slot, &subject, &queue) {
                SubscribeVerdict::Denied => {
                    let sid = self.subs.sid(id).to_vec();
                    self.remove_subscription(slot, id);
                    self.log_removed(slot, &subject, &sid);
                    let (subject, sid) = (&subject[..], &sid[..]);
                    self.reply_violation(slot, &PermissionsViolation::Removed { subject, sid });
                }
                SubscribeVerdict::Allowed => self.subs.get_mut(id).filtered = false,
                SubscribeVerdict::AllowedFiltered => self.subs.get_mut(id).filtered = true,
            }
        }
    }

    /// In nats-server's words.
    fn log_removed(&mut self, slot: u32, subject: &[u8], sid: &[u8]) {
        let user = self
            .conn(slot)
            .and_then(|conn| conn.identity.as_ref())
            .map_or_else(|| "N/A".to_owned(), |i| format!("User {:?}", i.user));
        let (subject, sid) = (quoted(subject), quoted(sid));
        let line = format!("Removed sub {subject} (sid {sid}) for {user} - not authorized");
        let level = LogLevel::Info;
        self.effects.push(Effect::Log { level, line });
    }
}

#[cfg(test)]
mod tests {
    use super::super::auth::{AuthConfig, AuthRules, UserRule};
    use super::super::permissions::{PermissionRules, SubjectRules};
    use super::super::testing::{Bench, settings};
    use super::*;

    fn user(name: &str, password: &str) -> UserRule {
        UserRule {
            name: name.to_owned(),
            password: password.to_owned(),
            ..UserRule::default()
        }
    }

    fn with(users: Vec<UserRule>) -> Settings {
        let rules = AuthRules {
            users,
            ..AuthRules::default()
        };
        Settings {
            auth: Arc::new(AuthConfig::new(&rules).expect("valid rules")),
            ..settings()
        }
    }

    fn login(bench: &mut Bench, name: &str) -> u32 {
        let slot = bench.accept();
        let line = format!(
            "CONNECT {{\"user\":\"{name}\",\"pass\":\"x\",\"verbose\":false,\"pedantic\":false}}\r\n"
        );
        bench.receive(slot, line.as_bytes());
        assert_eq!(bench.phase(slot), Some(Phase::Open));
        bench.output(slot);
        slot
    }

    #[test]
    fn users_that_are_gone_or_changed_are_closed_and_others_lose_what_they_may_not_have() {
        let names = ["stays", "goes", "changes", "shrinks"];
        let before = names.map(|name| user(name, "x")).to_vec();
        let mut bench = Bench::new(1, with(before));
        let [stays, goes, changes, shrinks] = names.map(|name| login(&mut bench, name));
        bench.receive(shrinks, b"SUB foo 7\r\nSUB bar 8\r\n");

        let mut limited = user("shrinks", "x");
        limited.permissions = Some(PermissionRules {
            subscribe: Some(SubjectRules {
                deny: vec!["foo".to_owned()],
                ..SubjectRules::default()
            }),
            ..PermissionRules::default()
        });
        let after = vec![user("stays", "x"), user("changes", "y"), limited];
        bench.core.reload(Arc::new(with(after)));

        assert_eq!(bench.output(stays), "");
        for (slot, output) in [(goes, ""), (changes, "-ERR 'Authorization Violation'\r\n")] {
            assert_eq!(bench.phase(slot), Some(Phase::Closing));
            assert_eq!(bench.output(slot), output);
        }
        assert_eq!(
            bench.output(shrinks),
            "-ERR 'Permissions Violation for Subscription to \"foo\" (sid \"7\")'\r\n"
        );
        bench.receive(stays, b"PUB foo 1\r\na\r\nPUB bar 1\r\nb\r\n");
        assert_eq!(bench.output(shrinks), "MSG bar 8 1\r\nb\r\n");
    }

    #[test]
    fn a_password_being_checked_meets_the_new_rules() {
        /// A form that bcrypt accepts; nobody knows a password for it.
        const HASH: &str = "$2a$11$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDC";
        let mut bench = Bench::new(1, with(vec![user("a", HASH), user("b", HASH)]));
        let slots = ["a", "b"].map(|name| {
            let slot = bench.accept();
            let line = format!("CONNECT {{\"user\":\"{name}\",\"pass\":\"x\"}}\r\n");
            bench.receive(slot, line.as_bytes());
            assert_eq!(bench.phase(slot), Some(Phase::Verifying));
            slot
        });
        bench.advance(0);
        let identities: Vec<_> = std::mem::take(&mut bench.effects)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Verify { slot, cid, job, .. } => {
                    Some((slot, cid, Arc::clone(job.identity().expect("known"))))
                }
                _ => None,
            })
            .collect();

        let mut limited = user("a", HASH);
        limited.permissions = Some(PermissionRules::default());
        bench.core.reload(Arc::new(with(vec![limited])));
        for (slot, cid, identity) in identities {
            bench.core.verified(slot, cid, Ok(identity));
        }

        assert_eq!(bench.phase(slots[1]), Some(Phase::Closing));
        let conn = bench.core.conn(slots[0]).expect("open");
        assert_eq!(conn.phase, Phase::Open);
        assert!(conn.permissions.is_some());
    }

    #[test]
    fn the_newest_connections_go_when_fewer_are_allowed() {
        let mut bench = Bench::new(1, settings());
        let slots = [(); 4].map(|()| bench.client());
        bench.core.close_surplus(3);
        let open = slots.map(|slot| bench.phase(slot) == Some(Phase::Open));
        assert_eq!(open, [true, false, false, false]);
        assert!(
            bench
                .output(slots[3])
                .ends_with("-ERR 'maximum connections exceeded'\r\n")
        );
    }
}
