//! Filters, orders and pages of connz, against a naive model.

use proptest::prelude::*;

use super::*;
use crate::monitor::connz::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::monitor::format::elapsed;

/// The numbers of the connections shown, and `total` and `limit`.
fn page(target: &str, open: &[ConnSnapshot], closed: &ClosedRing) -> (Vec<u64>, u64, usize) {
    let text = body(ask_of(target, open, closed));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let shown = json["connections"].as_array().unwrap();
    assert_eq!(json["num_connections"], shown.len());
    (
        shown.iter().map(|c| c["cid"].as_u64().unwrap()).collect(),
        json["total"].as_u64().unwrap(),
        json["limit"].as_u64().unwrap() as usize,
    )
}

#[test]
fn filters_leave_total_as_it_is_but_for_account_and_state() {
    let page = |target| page(target, &open(), &closed());
    assert_eq!(page("/connz"), (vec![5, 9], 2, DEFAULT_LIMIT));
    assert_eq!(page("/connz?state=all"), (vec![5, 7, 9], 3, DEFAULT_LIMIT));
    assert_eq!(page("/connz?state=Closed"), (vec![7], 1, DEFAULT_LIMIT));
    assert_eq!(page("/connz?cid=9"), (vec![9], 2, 1));
    assert_eq!(page("/connz?cid=7"), (vec![], 2, 1));
    assert_eq!(page("/connz?cid=7&state=closed"), (vec![7], 1, 1));
    assert_eq!(page("/connz?user=u1"), (vec![5], 2, DEFAULT_LIMIT));
    assert_eq!(page("/connz?cid=5&user=foo"), (vec![], 2, 1));
    assert_eq!(page("/connz?mqtt_client=x"), (vec![], 2, DEFAULT_LIMIT));
    assert_eq!(page("/connz?acc=$G"), (vec![5], 1, DEFAULT_LIMIT));
}

#[test]
fn limits_and_offsets_without_sense_mean_the_defaults() {
    let page = |target| page(target, &open(), &closed());
    for target in ["/connz?limit=0", "/connz?limit=-1", "/connz?offset=-5"] {
        assert_eq!(page(target), (vec![5, 9], 2, DEFAULT_LIMIT));
    }
    assert_eq!(page("/connz?offset=100"), (vec![], 2, DEFAULT_LIMIT));
    assert_eq!(page("/connz?offset=9223372036854775807").0, [0u64; 0]);
    assert_eq!(page("/connz?limit=9223372036854775807").2, MAX_LIMIT);
    assert_eq!(page("/connz?limit=1&limit=2"), (vec![5], 2, 1));
}

const NOW: i64 = SECOND + 211_994_804;

fn any_conn() -> impl Strategy<Value = ConnSnapshot> {
    let times = (0..8i64, 0..8i64, proptest::option::of(0..8i64));
    (times, 0..4u64, 0..4u64, 0..4u64, 0..3usize, 0..2usize).prop_map(
        |((start, last, stop), small, msgs, subs, user, account)| ConnSnapshot {
            figures: ConnFigures {
                start: NOW - start,
                last_activity: NOW - last,
                stop: stop.map(|stop| NOW - stop),
                rtt: small,
                pending_bytes: msgs,
                traffic: traffic(small, msgs, subs, small),
                subscriptions: subs,
                ..Default::default()
            },
            reason: stop.map_or("", |_| ["a", "b", "c"][user]).into(),
            authorized_user: ["", "u", "v"][user].into(),
            account: ["$G", "$SYS"][account].into(),
            ..Default::default()
        },
    )
}

/// Sorts as the documentation of nats-server has it.
fn model_sort(conns: &mut [ConnSnapshot], sort: &str) {
    use std::cmp::Reverse;
    conns.sort_by_key(|c| c.figures.cid);
    let f = |c: &ConnSnapshot| c.figures;
    match sort {
        "start" => conns.sort_by_key(|c| f(c).start),
        "subs" => conns.sort_by_key(|c| Reverse(f(c).subscriptions)),
        "pending" => conns.sort_by_key(|c| Reverse(f(c).pending_bytes)),
        "msgs_to" => conns.sort_by_key(|c| Reverse(f(c).traffic.out_msgs)),
        "msgs_from" => conns.sort_by_key(|c| Reverse(f(c).traffic.in_msgs)),
        "bytes_to" => conns.sort_by_key(|c| Reverse(f(c).traffic.out_bytes)),
        "bytes_from" => conns.sort_by_key(|c| Reverse(f(c).traffic.in_bytes)),
        "last" => conns.sort_by_key(|c| Reverse(f(c).last_activity)),
        "idle" => conns.sort_by_key(|c| Reverse(elapsed(f(c).last_activity, NOW))),
        "uptime" => conns.sort_by_key(|c| elapsed(f(c).start, f(c).stop.unwrap_or(NOW))),
        "stop" => conns.sort_by_key(|c| Reverse(f(c).stop)),
        "reason" => conns.sort_by_key(|c| c.reason.clone()),
        "rtt" => conns.sort_by_key(|c| Reverse(f(c).rtt)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn pages_are_cuts_of_the_sorted_list(
        conns in proptest::collection::vec(any_conn(), 0..30),
        sort in prop::sample::select(vec![
            "cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from",
            "last", "idle", "uptime", "stop", "reason", "rtt",
        ]),
        state in prop::sample::select(vec!["open", "closed", "all"]),
        user in prop::sample::select(vec!["", "u"]),
        account in prop::sample::select(vec!["", "$G"]),
        offset in 0..10usize,
        limit in 1..10usize,
        cores in 1..4usize,
    ) {
        let state = if matches!(sort, "stop" | "reason") { "closed" } else { state };
        let mut conns = conns;
        for (cid, conn) in (1..).zip(&mut conns) {
            conn.figures.cid = cid;
        }
        let (mut ring, mut open) = (ClosedRing::default(), Vec::new());
        for conn in &conns {
            match conn.figures.stop {
                Some(_) => ring.push(conn.clone()),
                None => open.push(conn.clone()),
            }
        }

        let mut expected = conns;
        expected.retain(|c| match state {
            "open" => c.figures.stop.is_none(),
            "closed" => c.figures.stop.is_some(),
            _ => true,
        });
        expected.retain(|c| account.is_empty() || c.account == account);
        let total = expected.len() as u64;
        expected.retain(|c| user.is_empty() || c.authorized_user == user);
        model_sort(&mut expected, sort);
        let expected: Vec<u64> =
            expected.iter().map(|c| c.figures.cid).skip(offset).take(limit).collect();

        let target = format!(
            "/connz?sort={sort}&state={state}&user={user}&acc={account}&offset={offset}&limit={limit}"
        );
        let request = Request::parse(&target, "");
        let collected = collect(request.needs().connections.unwrap(), NOW, &open, &ring, cores);
        prop_assert!(collected.connections.len() <= offset + limit);
        prop_assert_eq!(collected.total, total);
        let (shown, total_shown, _) = page(&target, &open, &ring);
        prop_assert_eq!(total_shown, total);
        prop_assert_eq!(shown, expected);
    }
}
