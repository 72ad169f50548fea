//! Answers compared with what nats-server 2.15.1 answered in the same situation.

mod captured;
mod pages;
mod requests;

use super::connz::{Collector, ConnzQuery};
use super::snapshot::{
    AccountSnapshot, ConnFigures, ConnSnapshot, OptionsSnapshot, ServerSnapshot, Snapshot,
    SubSnapshot, SublistStats, SubszSnapshot, Traffic,
};
use super::{ClosedRing, Request, Response};

/// 2026-11-22T21:52:16Z, around which the answers were captured.
const SECOND: i64 = 1_795_384_336_000_000_000;

/// The text of an answer, and that it is one of status 200.
fn body(answer: Response) -> String {
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

fn sub(cid: u64, subject: &str, queue: &str, sid: &str, msgs: u64, max: u64) -> SubSnapshot {
    SubSnapshot {
        account: "$G".into(),
        subject: subject.into(),
        queue: queue.into(),
        sid: sid.into(),
        msgs,
        max,
        cid,
    }
}

fn traffic(in_msgs: u64, out_msgs: u64, in_bytes: u64, out_bytes: u64) -> Traffic {
    Traffic {
        in_msgs,
        in_bytes,
        out_msgs,
        out_bytes,
    }
}

/// Two open connections with subscriptions.
fn open() -> Vec<ConnSnapshot> {
    let alpha = ConnSnapshot {
        figures: ConnFigures {
            cid: 5,
            start: SECOND - 305_312_269,
            last_activity: SECOND - 298_544_073,
            rtt: 1_534_589,
            traffic: traffic(3, 4, 15, 17),
            subscriptions: 2,
            ..Default::default()
        },
        ip: "127.0.0.1".into(),
        port: 41306,
        name: "alpha".into(),
        lang: "python3".into(),
        version: "2.16.0".into(),
        authorized_user: "u1".into(),
        account: "$G".into(),
        subs: vec![
            sub(5, "foo.>", "", "1", 3, 0),
            sub(5, "work", "q1", "2", 1, 0),
        ],
        ..Default::default()
    };
    let plain = ConnSnapshot {
        figures: ConnFigures {
            cid: 9,
            start: SECOND - 292_039_977,
            last_activity: SECOND - 291_941_595,
            rtt: 98_382,
            pending_bytes: 2_000_418,
            stalls: 87,
            ..Default::default()
        },
        ip: "127.0.0.1".into(),
        port: 41346,
        account: "A".into(),
        ..Default::default()
    };
    vec![alpha, plain]
}

/// One closed connection.
fn closed() -> ClosedRing {
    let mut ring = ClosedRing::default();
    ring.push(ConnSnapshot {
        figures: ConnFigures {
            cid: 7,
            start: SECOND - 300_584_936,
            last_activity: SECOND - 299_208_754,
            stop: Some(SECOND - 297_849_392),
            rtt: 498_000,
            subscriptions: 1,
            ..Default::default()
        },
        ip: "127.0.0.1".into(),
        port: 41322,
        reason: "Client Closed".into(),
        name: "gone".into(),
        lang: "python3".into(),
        version: "2.16.0".into(),
        account: "$G".into(),
        subs: vec![sub(7, "x.y", "", "1", 0, 0)],
        ..Default::default()
    });
    ring
}

fn account(name: &str, is_system: bool, connections: u64) -> AccountSnapshot {
    AccountSnapshot {
        name: name.into(),
        is_system,
        update_time: SECOND - 1_295_248_748,
        client_connections: connections,
        stats: SublistStats {
            subscriptions: 9,
            inserts: 10,
            removes: 1,
            matches: 2,
            ..Default::default()
        },
        traffic: traffic(6, 9, 21, 36),
        ..Default::default()
    }
}

/// A server as it was when the answers were captured.
fn snapshot() -> Snapshot {
    Snapshot {
        server: ServerSnapshot {
            server_id: "NBALXNGD".into(),
            server_name: "my<srv>&".into(),
            version: "2.15.1".into(),
            ringwire_version: "0.1.0".into(),
            git_commit: "b2fd3ef".into(),
            compiler: "rustc 1.95".into(),
            options: OptionsSnapshot {
                host: "127.0.0.1".into(),
                port: 40061,
                max_connections: 65536,
                ping_interval: 120_000_000_000,
                ping_max: 2,
                http_host: "127.0.0.1".into(),
                http_port: 39297,
                auth_timeout: 2.0,
                max_control_line: 4096,
                max_payload: 1_048_576,
                max_pending: 67_108_864,
                tls_timeout: 2.0,
                write_deadline: 10_000_000_000,
                system_account: "$SYS".into(),
                ..Default::default()
            },
            start: SECOND - 1_295_549_717,
            now: SECOND + 211_994_804,
            config_load_time: SECOND - 1_295_549_717,
            memory: 15_228_928,
            cpu_percent: 1.0,
            host_cpus: 2,
            cores: 2,
            connections: 3,
            total_connections: 5,
            subscriptions: 65,
            traffic: traffic(6, 9, 21, 36),
            http_requests: [("/", 1), ("/varz", 1)].into(),
            ..Default::default()
        },
        accounts: vec![account("$G", false, 3), account("$SYS", true, 0)],
        subscriptions: SubszSnapshot {
            stats: SublistStats {
                subscriptions: 65,
                cached: 7,
                inserts: 66,
                removes: 1,
                matches: 15,
                cache_hits: 6,
                max_fanout: 1,
                total_fanout: 4,
            },
            total: 2,
            list: vec![sub(5, "foo.>", "", "1", 3, 0), sub(6, "lim", "", "3", 0, 5)],
        },
        ..Default::default()
    }
}

/// Does what the control thread does: gathers what the request needs, and answers.
fn ask_of(target: &str, open: &[ConnSnapshot], closed: &ClosedRing) -> Response {
    let request = Request::parse(target, "");
    let mut snapshot = snapshot();
    if let Some(query) = request.needs().connections {
        snapshot.connections = collect(query, snapshot.server.now, open, closed, 2);
    }
    request.respond(&snapshot)
}

fn ask(target: &str) -> Response {
    ask_of(target, &open(), &closed())
}

/// Spreads the open connections over so many cores and joins what each of them kept.
fn collect(
    query: &ConnzQuery,
    now: i64,
    open: &[ConnSnapshot],
    closed: &ClosedRing,
    cores: usize,
) -> super::snapshot::ConnectionPage {
    let mut all = Collector::new(query, now);
    closed.iter().for_each(|conn| all.offer_closed(conn));
    for core in 0..cores {
        let mut own = Collector::new(query, now);
        for conn in open.iter().skip(core).step_by(cores) {
            own.offer(
                &conn.figures,
                &conn.account,
                &conn.authorized_user,
                "",
                || conn.clone(),
            );
        }
        all.merge(own);
    }
    all.finish()
}
