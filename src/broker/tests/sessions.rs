//! CONNECT, credentials, and what a connection may say before and after.

use std::time::Duration;

use super::driver::{World, settings, settings_with_auth};
use crate::broker::CloseMode;
use crate::broker::auth::{AuthRules, Refusal, UserRule};

fn single_user(password: &str) -> AuthRules {
    AuthRules {
        single_user: Some(("ann".to_owned(), password.to_owned())),
        ..AuthRules::default()
    }
}

const ANN: &str = "CONNECT {\"verbose\":false,\"user\":\"ann\",\"pass\":\"secret\"}\r\n";

#[test]
fn a_connection_is_verbose_until_connect_says_otherwise() {
    let mut world = World::new(1, settings());
    let client = world.accept(0);
    assert_eq!(world.ask(client, "SUB foo 1\r\n"), "+OK\r\n");
    assert_eq!(
        world.ask(client, "CONNECT {\"verbose\":false}\r\nSUB bar 2\r\n"),
        ""
    );
}

#[test]
fn the_first_pong_brings_the_accounts_info_and_later_ones_do_not() {
    let mut world = World::new(1, settings());
    let client = world.accept(0);
    world.send(
        client,
        "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n",
    );
    let answer = world.output(client);
    assert!(answer.starts_with("PONG\r\nINFO {"), "{answer}");
    assert_eq!(world.ask(client, "PING\r\n"), "PONG\r\n");
}

#[test]
fn commands_may_be_cut_anywhere() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    for byte in b"SUB foo 1\r\nPUB foo 5\r\nhello\r\nPING\r\n" {
        world.send(client, [*byte]);
    }
    assert_eq!(world.output(client), "MSG foo 1 5\r\nhello\r\nPONG\r\n");
}

#[test]
fn good_credentials_open_the_connection() {
    let mut world = World::new(1, settings_with_auth(&single_user("secret")));
    let client = world.accept(0);
    assert_eq!(world.ask(client, format!("{ANN}PING\r\n")), "PONG\r\n");
    assert_eq!(world.ended(client), None);
}

#[test]
fn wrong_credentials_and_other_first_verbs_are_refused() {
    for first in [
        "CONNECT {\"user\":\"ann\",\"pass\":\"guess\"}\r\n",
        "CONNECT {}\r\n",
        "PING\r\n",
        "SUB foo 1\r\n",
        "nonsense\r\n",
    ] {
        let mut world = World::new(1, settings_with_auth(&single_user("secret")));
        let client = world.accept(0);
        assert_eq!(
            world.ask(client, first),
            "-ERR 'Authorization Violation'\r\n",
            "{first}"
        );
        assert_eq!(world.ended(client), Some("Authentication Failure"));
        assert_eq!(world.closing(client), Some(CloseMode::AfterFlush));
    }
}

#[test]
fn nothing_is_read_while_a_password_is_checked() {
    // A hash of "secret" is not needed: the test answers for the helper thread.
    let rules = single_user("$2a$04$abcdefghijklmnopqrstuuxyz");
    let mut world = World::new(1, settings_with_auth(&rules));
    let client = world.accept(0);
    assert_eq!(world.ask(client, format!("{ANN}PING\r\n")), "");
    assert!(world.paused(client));
    let (asked, job) = world.jobs.pop().expect("a job");
    assert_eq!(asked, client);

    // An answer for a connection that had the slot before changes nothing.
    let identity = job.identity().expect("known").clone();
    world.cores[0].verified(client.slot, client.cid + 1, Ok(identity.clone()));
    world.settle();
    assert_eq!(world.output(client), "");

    world.cores[0].verified(client.slot, client.cid, Ok(identity));
    world.settle();
    assert_eq!(world.output(client), "PONG\r\n");
    assert!(!world.paused(client));
}

#[test]
fn a_wrong_password_is_refused_after_the_check() {
    let rules = single_user("$2a$04$abcdefghijklmnopqrstuuxyz");
    let mut world = World::new(1, settings_with_auth(&rules));
    let client = world.accept(0);
    world.send(client, format!("{ANN}PING\r\n"));
    world.cores[0].verified(client.slot, client.cid, Err(Refusal::default()));
    world.settle();
    assert_eq!(world.output(client), "-ERR 'Authorization Violation'\r\n");
}

#[test]
fn the_no_auth_user_stands_for_clients_without_connect() {
    let rules = AuthRules {
        users: vec![UserRule {
            name: "guest".to_owned(),
            password: "guest".to_owned(),
            ..UserRule::default()
        }],
        no_auth_user: Some("guest".to_owned()),
        ..AuthRules::default()
    };
    let mut world = World::new(1, settings_with_auth(&rules));
    let client = world.accept(0);
    assert_eq!(world.ask(client, "PING\r\n"), "PONG\r\n");
    // Its timeout is no longer of interest.
    world.pass(Duration::from_secs(3));
    assert_eq!(world.ended(client), None);
}

#[test]
fn a_second_connect_drops_subscriptions_and_replaces_options() {
    let mut world = World::new(1, settings());
    let [client, other] = world.clients();
    world.send(client, "SUB foo 1\r\n");
    world.send(other, "PUB foo 1\r\na\r\n");
    assert_eq!(world.output(client), "MSG foo 1 1\r\na\r\n");
    assert_eq!(
        world.ask(client, "CONNECT {\"verbose\":true}\r\n"),
        "+OK\r\n"
    );
    world.send(other, "PUB foo 1\r\nb\r\n");
    assert_eq!(world.output(client), "");
    assert_eq!(world.ask(client, "SUB foo 1\r\n"), "+OK\r\n");
    world.send(other, "PUB foo 1\r\nc\r\n");
    assert_eq!(world.output(client), "MSG foo 1 1\r\nc\r\n");
}

#[test]
fn errors_of_the_protocol_close_after_they_are_told() {
    for (bytes, answer, reason) in [
        (
            "nonsense\r\n",
            "-ERR 'Unknown Protocol Operation'\r\n",
            "Protocol Violation",
        ),
        (
            "PUB foo 1048577\r\n",
            "-ERR 'Maximum Payload Violation'\r\n",
            "Maximum Message Payload Exceeded",
        ),
    ] {
        let mut world = World::new(1, settings());
        let [client] = world.clients();
        assert_eq!(world.ask(client, bytes), answer);
        assert_eq!(world.ended(client), Some(reason));
        // Nothing that came behind it counts.
        world.send(client, "PING\r\n");
        assert_eq!(world.output(client), "");
    }
}

#[test]
fn a_slot_is_used_again_by_another_connection() {
    let mut world = World::new(1, settings());
    let [first, publisher] = world.clients();
    world.send(first, "SUB foo 1\r\nnonsense\r\n");
    world.output(first);
    let second = world.client(0);
    assert_eq!(second.slot, first.slot);
    world.send(publisher, "PUB foo 1\r\na\r\n");
    assert_eq!(world.output(second), "");
}
