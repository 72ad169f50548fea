//! `/accountz` and `/accstatz`: the accounts and their traffic.

use serde::Serialize;

use super::format;
use super::response::Response;
use super::snapshot::{AccountSnapshot, Snapshot};
use super::subsz::Stats;

/// The answer to `/accountz`, about one account if it is named.
pub fn accountz(account: Option<&str>, snapshot: &Snapshot) -> Response {
    let named = |name: &str| snapshot.accounts.iter().find(|a| a.name == name);
    let detail = match account {
        None => None,
        Some(name) => match named(name) {
            None => return Response::text(400, format!("Account {name} does not exist")),
            found => found,
        },
    };
    let names = snapshot.accounts.iter().map(|a| a.name.as_str());
    Response::json(&Accountz {
        server_id: &snapshot.server.server_id,
        now: format::rfc3339(snapshot.server.now),
        system_account: &snapshot.server.options.system_account,
        accounts: match detail {
            None => names.collect(),
            Some(_) => Vec::new(),
        },
        account_detail: detail.map(AccountDetail::new),
    })
}

/// The answer to `/accstatz`; accounts without a connection only if `unused` ones are asked for,
/// those of `only` if it names any.
pub fn accstatz(unused: bool, only: &[String], snapshot: &Snapshot) -> Response {
    let shown = |a: &&AccountSnapshot| {
        (only.is_empty() || only.contains(&a.name))
            && (unused || a.client_connections + a.leafnode_connections > 0)
    };
    Response::json(&Accstatz {
        server_id: &snapshot.server.server_id,
        now: format::rfc3339(snapshot.server.now),
        account_statz: snapshot
            .accounts
            .iter()
            .filter(shown)
            .map(AccountStat::new)
            .collect(),
    })
}

#[derive(Serialize)]
struct Accountz<'a> {
    server_id: &'a str,
    now: String,
    system_account: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail<'a>>,
}

#[derive(Serialize)]
struct AccountDetail<'a> {
    account_name: &'a str,
    update_time: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: u64,
    name_tag: &'a str,
    sublist_stats: Stats,
}

impl<'a> AccountDetail<'a> {
    fn new(account: &'a AccountSnapshot) -> Self {
        AccountDetail {
            account_name: &account.name,
            update_time: format::rfc3339(account.update_time),
            is_system: account.is_system,
            // Accounts of the configuration neither expire nor wait for a resolver.
            expired: false,
            complete: true,
            jetstream_enabled: account.jetstream,
            leafnode_connections: account.leafnode_connections,
            client_connections: account.client_connections,
            subscriptions: account.stats.subscriptions,
            name_tag: &account.name,
            sublist_stats: Stats::from(&account.stats),
        }
    }
}

#[derive(Serialize)]
struct Accstatz<'a> {
    server_id: &'a str,
    now: String,
    account_statz: Vec<AccountStat<'a>>,
}

/// One account's figures, as accstatz and the events of the system account write them.
#[derive(Serialize)]
pub struct AccountStat<'a> {
    acc: &'a str,
    name: &'a str,
    conns: u64,
    leafnodes: u64,
    total_conns: u64,
    num_subscriptions: u64,
    sent: Data,
    received: Data,
    slow_consumers: u64,
}

impl<'a> AccountStat<'a> {
    /// The figures of one account.
    pub fn new(account: &'a AccountSnapshot) -> Self {
        let t = &account.traffic;
        AccountStat {
            acc: &account.name,
            name: &account.name,
            conns: account.client_connections,
            leafnodes: account.leafnode_connections,
            total_conns: account.client_connections + account.leafnode_connections,
            num_subscriptions: account.stats.subscriptions,
            sent: Data::of_clients(t.out_msgs, t.out_bytes),
            received: Data::of_clients(t.in_msgs, t.in_bytes),
            slow_consumers: account.slow_consumers,
        }
    }
}

#[derive(Serialize, Default)]
struct Amount {
    msgs: u64,
    bytes: u64,
}

/// Traffic in one direction, and what of it passed between servers.
#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    all: Amount,
    gateways: Amount,
    routes: Amount,
    leafs: Amount,
}

impl Data {
    fn of_clients(msgs: u64, bytes: u64) -> Self {
        Data {
            all: Amount { msgs, bytes },
            gateways: Amount::default(),
            routes: Amount::default(),
            leafs: Amount::default(),
        }
    }
}
