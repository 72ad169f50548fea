//! Accounts: what stays inside, and what crosses their boundaries.

use std::sync::Arc;

use proptest::prelude::*;

use super::driver::{Client, World, settings_with_auth};
use crate::broker::Settings;
use crate::broker::accounts::{
    AccountLimits, AccountRules, AccountTable, MappingDestination, MappingRule, ResponseKind,
    ServiceExport, ServiceImport, StreamExport, StreamImport,
};
use crate::broker::auth::{AuthRules, UserRule};

/// A world of these accounts, each with a user of its name in lower case.
fn world(cores: usize, rules: Vec<AccountRules>) -> World {
    let users = rules
        .iter()
        .map(|rules| UserRule {
            name: rules.name.to_lowercase(),
            password: "x".to_owned(),
            account: rules.name.clone(),
            ..UserRule::default()
        })
        .collect();
    let auth = AuthRules {
        users,
        ..AuthRules::default()
    };
    World::new(
        cores,
        Settings {
            accounts: Arc::new(AccountTable::compile(rules, None).expect("good rules")),
            ..settings_with_auth(&auth)
        },
    )
}

fn login(world: &mut World, core: usize, user: &str) -> Client {
    let client = world.accept(core);
    let connect = format!(
        "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"x\",\"headers\":true,\
         \"no_responders\":true}}\r\nPING\r\n"
    );
    assert_eq!(world.ask(client, connect), "PONG\r\n");
    client
}

#[test]
fn accounts_see_nothing_of_each_other() {
    for cores in [1, 2, 4] {
        let mut world = world(
            cores,
            vec![AccountRules::named("A"), AccountRules::named("B")],
        );
        let a = login(&mut world, 0, "a");
        let b = login(&mut world, cores - 1, "b");
        let a2 = login(&mut world, cores / 2, "a");
        for client in [a, b, a2] {
            assert_eq!(world.ask(client, "SUB > 1\r\nPING\r\n"), "PONG\r\n");
        }
        assert_eq!(world.ask(a, "PUB foo 1\r\na\r\n"), "MSG foo 1 1\r\na\r\n");
        assert_eq!(world.output(a2), "MSG foo 1 1\r\na\r\n");
        assert_eq!(world.output(b), "");
        assert_eq!(world.ask(b, "PUB foo 1\r\nb\r\n"), "MSG foo 1 1\r\nb\r\n");
        assert_eq!(world.output(a) + &world.output(a2), "");
    }
}

fn import_stream(account: &str, subject: &str, to: &str, prefix: &str) -> StreamImport {
    StreamImport {
        account: account.to_owned(),
        subject: subject.to_owned(),
        to: to.to_owned(),
        prefix: prefix.to_owned(),
        ..StreamImport::default()
    }
}

fn export_stream(subject: &str) -> StreamExport {
    StreamExport {
        subject: subject.to_owned(),
        ..StreamExport::default()
    }
}

fn export_service(subject: &str, response: ResponseKind) -> ServiceExport {
    ServiceExport {
        subject: subject.to_owned(),
        response,
        ..ServiceExport::default()
    }
}

fn import_service(account: &str, subject: &str, to: &str) -> ServiceImport {
    ServiceImport {
        account: account.to_owned(),
        subject: subject.to_owned(),
        to: to.to_owned(),
        ..ServiceImport::default()
    }
}

/// A exports, B imports from A, C from B.
fn three() -> Vec<AccountRules> {
    let mut rules = ["A", "B", "C"].map(AccountRules::named);
    for rules in &mut rules[..2] {
        rules.stream_exports = vec![export_stream("ev.>")];
        rules.service_exports = vec![
            export_service("req.*", ResponseKind::Singleton),
            export_service("many", ResponseKind::Streamed),
            export_service("parts", ResponseKind::Chunked),
        ];
    }
    rules[1].stream_imports = vec![import_stream("A", "ev.>", "", "imp")];
    rules[1].service_imports = vec![
        import_service("A", "req.*", ""),
        import_service("A", "many", "b.many"),
        import_service("A", "parts", ""),
    ];
    rules[2].stream_imports = vec![import_stream("B", "ev.>", "", "")];
    rules[2].service_imports = vec![import_service("B", "req.*", "c.*")];
    rules.into()
}

/// The reply subject of a request that came.
fn reply_of(received: &str) -> String {
    let at = received
        .find("_R_.")
        .unwrap_or_else(|| panic!("{received}"));
    let end = received[at..].find(' ').expect("a size follows");
    received[at..at + end].to_owned()
}

#[test]
fn streams_cross_once() {
    for cores in [1, 2, 4] {
        let mut world = world(cores, three());
        let a = login(&mut world, 0, "a");
        let [b, c] = ["b", "c"].map(|user| login(&mut world, cores - 1, user));
        for client in [b, c] {
            world.send(client, "SUB > 1\r\n");
        }
        world.send(a, "PUB ev.x r 2\r\nhi\r\n");
        assert_eq!(world.output(b), "MSG imp.ev.x 1 r 2\r\nhi\r\n");
        assert_eq!(world.output(c), "");
        world.send(b, "PUB ev.x 2\r\nho\r\n");
        assert_eq!(world.output(b), "MSG ev.x 1 2\r\nho\r\n");
        assert_eq!(world.output(c), "MSG ev.x 1 2\r\nho\r\n");
        world.send(a, "PUB other 2\r\nhi\r\n");
        assert_eq!(world.output(b), "");
    }
}

#[test]
fn requests_cross_and_responses_find_back() {
    for cores in [1, 2, 4] {
        let mut world = world(cores, three());
        let a = login(&mut world, 0, "a");
        let [b, c] = ["b", "c"].map(|user| login(&mut world, cores - 1, user));
        assert_eq!(
            world.ask(b, "SUB r.> 1\r\nPUB req.x r.0 1\r\na\r\n"),
            "HMSG r.0 1 37 37\r\nNATS/1.0 503\r\nNats-Subject: req.x\r\n\r\n\r\n"
        );
        world.send(a, "SUB req.* 1\r\nSUB many 2\r\nSUB parts 3\r\n");
        world.send(b, "PUB req.x r.1 2\r\nhi\r\n");
        let request = world.output(a);
        assert!(request.starts_with("HMSG req.x 1 _R_."), "{request}");
        assert!(
            request.ends_with("NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\nhi\r\n"),
            "{request}"
        );
        let reply = reply_of(&request);
        world.send(a, format!("PUB {reply} 2\r\nok\r\nPUB {reply} 2\r\nno\r\n"));
        assert_eq!(world.output(b), "MSG r.1 1 2\r\nok\r\n");

        world.send(b, "PUB b.many r.2 0\r\n\r\n");
        let reply = reply_of(&world.output(a));
        world.send(
            a,
            format!("PUB {reply} 1\r\n1\r\nPUB {reply} 0\r\n\r\nPUB {reply} 1\r\n2\r\n"),
        );
        assert_eq!(
            world.output(b),
            "MSG r.2 1 1\r\n1\r\nMSG r.2 1 0\r\n\r\nMSG r.2 1 1\r\n2\r\n"
        );
        world.send(b, "PUB parts r.3 0\r\n\r\n");
        let reply = reply_of(&world.output(a));
        world.send(
            a,
            format!("PUB {reply} 1\r\n1\r\nPUB {reply} 0\r\n\r\nPUB {reply} 1\r\n2\r\n"),
        );
        assert_eq!(world.output(b), "MSG r.3 1 1\r\n1\r\nMSG r.3 1 0\r\n\r\n");

        world.send(c, "SUB r 1\r\nPUB c.y r 1\r\nx\r\n");
        let request = world.output(a);
        assert!(
            request.contains("{\"acc\":\"C\",\"svc\":\"B\"}"),
            "{request}"
        );
        world.send(a, format!("PUB {} 1\r\ny\r\n", reply_of(&request)));
        assert_eq!(world.output(c), "MSG r 1 1\r\ny\r\n");
        assert_eq!(world.output(b), "");
    }
}

#[test]
fn a_queue_group_over_two_accounts_gets_one_copy() {
    let mut world = world(2, three());
    let a = login(&mut world, 0, "a");
    let b = login(&mut world, 1, "b");
    world.send(a, "SUB ev.q q 1\r\n");
    world.send(b, "SUB imp.ev.q q 1\r\n");
    world.send(a, "PUB ev.q 1\r\nx\r\n".repeat(100));
    let counts = [a, b].map(|client| world.output(client).matches("MSG").count());
    assert_eq!(counts[0] + counts[1], 100);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

#[test]
fn subjects_are_mapped() {
    let mapping = |source: &str, destinations: &[(&str, u8)]| MappingRule {
        source: source.to_owned(),
        destinations: destinations
            .iter()
            .map(|&(subject, weight)| MappingDestination {
                subject: subject.to_owned(),
                weight,
                cluster: String::new(),
            })
            .collect(),
    };
    let mut rules = AccountRules::named("A");
    rules.mappings = vec![
        mapping("w.*.*", &[("w.$2.$1", 100)]),
        mapping("w.x.y", &[("exact", 100)]),
        mapping("half", &[("one", 50), ("two", 30)]),
    ];
    let mut world = world(1, vec![rules]);
    let a = login(&mut world, 0, "a");
    world.send(a, "SUB > 1\r\n");
    assert_eq!(world.ask(a, "PUB w.a.b 0\r\n\r\n"), "MSG w.b.a 1 0\r\n\r\n");
    assert_eq!(world.ask(a, "PUB w.x.y 0\r\n\r\n"), "MSG exact 1 0\r\n\r\n");
    let output = world.ask(a, "PUB half 0\r\n\r\n".repeat(1000));
    let [one, two, half] =
        ["one", "two", "half"].map(|subject| output.matches(&format!("MSG {subject} ")).count());
    assert_eq!(one + two + half, 1000);
    assert!(
        (400..600).contains(&one) && (200..400).contains(&two),
        "{one} {two} {half}"
    );
}

#[test]
fn accounts_have_limits() {
    let mut rules = AccountRules::named("L");
    rules.limits = AccountLimits {
        max_connections: Some(2),
        max_subscriptions: Some(1),
        max_payload: Some(10),
        ..AccountLimits::default()
    };
    let mut world = world(2, vec![rules]);
    let first = login(&mut world, 0, "l");
    let second = login(&mut world, 1, "l");
    let third = world.accept(0);
    let connect = "CONNECT {\"verbose\":false,\"user\":\"l\",\"pass\":\"x\"}\r\n";
    assert_eq!(
        world.ask(third, connect),
        "-ERR 'maximum account active connections exceeded'\r\n"
    );
    assert_eq!(
        world.ended(third),
        Some("Maximum Account Connections Exceeded")
    );
    assert_eq!(
        world.ask(first, "SUB a 1\r\nSUB b 2\r\nPING\r\n"),
        "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n"
    );
    assert_eq!(
        world.ask(first, "PUB foo 11\r\n12345678901\r\n"),
        "-ERR 'Maximum Payload Violation'\r\n"
    );
    // Its place is free.
    login(&mut world, 1, "l");
    assert_eq!(world.ask(second, "PING\r\n"), "PONG\r\n");
}

/// One step of a sequence of account operations.
#[derive(Clone, Debug)]
enum Step {
    Subscribe {
        client: usize,
        subject: usize,
        wildcard: bool,
    },
    Publish {
        client: usize,
        subject: usize,
    },
    /// Other imports from now on: importer, exporter, subject.
    Reload(Vec<(usize, usize, usize)>),
}

const ACCOUNTS: [&str; 3] = ["A", "B", "C"];
const SUBJECTS: [&str; 3] = ["ev.a", "ev.b", "priv.a"];

/// Rules by which `imports` open the boundaries; `priv` is exported to nobody.
fn opened(imports: &[(usize, usize, usize)]) -> Vec<AccountRules> {
    let mut rules = ACCOUNTS.map(AccountRules::named);
    for rules in &mut rules {
        rules.stream_exports = vec![export_stream("ev.*")];
    }
    for &(importer, exporter, subject) in imports {
        if importer != exporter {
            rules[importer].stream_imports.push(import_stream(
                ACCOUNTS[exporter],
                SUBJECTS[subject],
                "",
                "",
            ));
        }
    }
    rules.into()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6usize, 0..3usize, any::<bool>()).prop_map(|(client, subject, wildcard)| {
            Step::Subscribe { client, subject, wildcard }
        }),
        6 => (0..6usize, 0..3usize).prop_map(|(client, subject)| Step::Publish { client, subject }),
        2 => prop::collection::vec((0..3usize, 0..3usize, 0..2usize), 0..4).prop_map(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the naive model: a message reaches the subscriptions of its account, and those of
    /// the accounts that import its subject at that moment, as often as they match.
    #[test]
    fn nothing_crosses_that_no_import_opens(
        cores in prop::sample::select(vec![1usize, 2, 4]),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = world(cores, opened(&[]));
        let clients: Vec<Client> = (0..6)
            .map(|n| login(&mut world, n % cores, &ACCOUNTS[n % 3].to_lowercase()))
            .collect();
        let mut imports: Vec<(usize, usize, usize)> = Vec::new();
        let mut subscribed: Vec<Vec<(usize, bool)>> = vec![Vec::new(); 6];
        let mut sid = 0;
        for step in steps {
            match step {
                Step::Subscribe { client, subject, wildcard } => {
                    sid += 1;
                    let pattern = if wildcard { ">" } else { SUBJECTS[subject] };
                    world.send(clients[client], format!("SUB {pattern} {sid}\r\n"));
                    subscribed[client].push((subject, wildcard));
                }
                Step::Reload(other) => {
                    // Cycles are refused, and what was is still in force.
                    if world.reload_accounts(opened(&other)) {
                        imports = other;
                    }
                }
                Step::Publish { client, subject } => {
                    let line = format!("PUB {} 1\r\nx\r\n", SUBJECTS[subject]);
                    world.send(clients[client], line);
                    let from = client % 3;
                    for (number, &other) in clients.iter().enumerate() {
                        let to = number % 3;
                        let open = to == from || imports.contains(&(to, from, subject));
                        let matching = subscribed[number]
                            .iter()
                            .filter(|(s, wildcard)| *wildcard || *s == subject)
                            .count();
                        let expected = if open { matching } else { 0 };
                        let received = world.output(other).matches("MSG ").count();
                        prop_assert_eq!(received, expected, "{} to {}", from, to);
                    }
                }
            }
        }
    }
}
