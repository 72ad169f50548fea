//! Accounts: what stays inside, and what crosses their boundaries.

use std::sync::Arc;

use super::driver::{Client, World, settings_with_auth};
use crate::broker::Settings;
use crate::broker::accounts::{AccountRules, AccountTable};
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
