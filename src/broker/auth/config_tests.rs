//! Decisions read off nats-server 2.15.1 over a raw socket.

use super::*;
use crate::broker::permissions::SubjectRules;

/// `s3cret`, at the lowest cost.
const HASH_TAIL: &str = "$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";

fn user(name: &str, password: &str) -> UserRule {
    UserRule {
        name: name.into(),
        password: password.into(),
        ..UserRule::default()
    }
}

fn users(users: &[(&str, &str)], no_auth_user: Option<&str>) -> AuthRules {
    AuthRules {
        users: users.iter().map(|(name, pass)| user(name, pass)).collect(),
        no_auth_user: no_auth_user.map(Into::into),
        ..AuthRules::default()
    }
}

fn token(token: &str) -> AuthRules {
    AuthRules {
        token: Some(token.into()),
        ..AuthRules::default()
    }
}

fn config(rules: &AuthRules) -> AuthConfig {
    AuthConfig::new(rules).unwrap()
}

fn login<'a>(user: &'a str, pass: &'a str) -> Credentials<'a> {
    Credentials {
        user,
        pass,
        ..Credentials::default()
    }
}

fn with_token(token: &str) -> Credentials<'_> {
    Credentials {
        token,
        ..Credentials::default()
    }
}

fn moment() -> super::super::Moment {
    super::super::Moment {
        unix_ns: 0,
        local: jiff::tz::TimeZone::UTC,
    }
}

/// The name of who was let in, hashing included.
fn settle(decision: Decision) -> Option<String> {
    match decision {
        Decision::Accept(identity) => Some(identity.user.clone()),
        Decision::Reject(_) => None,
        Decision::Verify(job) => job
            .run(&moment())
            .ok()
            .map(|identity| identity.user.clone()),
    }
}

fn connect(config: &AuthConfig, credentials: Credentials<'_>) -> Option<String> {
    settle(config.check(&credentials))
}

fn permissions(publish: &str) -> PermissionRules {
    PermissionRules {
        publish: Some(SubjectRules {
            allow: Some(vec![publish.into()]),
            deny: Vec::new(),
        }),
        ..PermissionRules::default()
    }
}

#[test]
fn an_open_server_takes_everybody_by_the_name_they_give() {
    let config = config(&AuthRules::default());
    assert!(!config.auth_required());
    assert_eq!(connect(&config, login("", "")).as_deref(), Some(""));
    assert_eq!(connect(&config, login("x", "y")).as_deref(), Some("x"));
    assert_eq!(
        connect(&config, with_token("t")).as_deref(),
        Some(REDACTED_TOKEN)
    );
    let nkey = Credentials {
        nkey: "UA",
        ..login("x", "")
    };
    assert_eq!(connect(&config, nkey).as_deref(), Some("UA"));
    assert!(settle(config.check_without_connect(ConnectionType::Standard)).is_some());
}

#[test]
fn legacy_account_fields_are_refused_even_by_an_open_server() {
    let legacy = Credentials {
        legacy_account: true,
        ..login("u", "p")
    };
    for rules in [
        AuthRules::default(),
        users(&[("u", "p")], None),
        users(&[("u", "p")], Some("u")),
    ] {
        assert_eq!(connect(&config(&rules), legacy), None);
    }
}

#[test]
fn a_token_alone_counts() {
    let config = config(&token("tk"));
    assert!(config.auth_required() && config.auth_required_in_first_info());
    assert_eq!(
        connect(&config, with_token("tk")).as_deref(),
        Some(REDACTED_TOKEN)
    );
    let named = Credentials {
        user: "x",
        ..with_token("tk")
    };
    assert_eq!(connect(&config, named).as_deref(), Some("x"));
    for refused in [login("", ""), login("tk", "tk"), with_token("no")] {
        assert_eq!(connect(&config, refused), None);
    }
    assert!(settle(config.check_without_connect(ConnectionType::Standard)).is_none());
}

#[test]
fn a_single_user() {
    let config = config(&AuthRules {
        single_user: Some(("u".into(), "p".into())),
        default_permissions: Some(permissions("a")),
        ..AuthRules::default()
    });
    assert_eq!(connect(&config, login("u", "p")).as_deref(), Some("u"));
    for refused in [
        login("", ""),
        login("u", ""),
        login("U", "p"),
        with_token("p"),
    ] {
        assert_eq!(connect(&config, refused), None);
    }
    let Decision::Accept(identity) = config.check(&login("u", "p")) else {
        panic!("refused");
    };
    assert!(identity.permissions.is_none());
    assert_eq!(&*identity.account, GLOBAL_ACCOUNT);
}

#[test]
fn several_users_and_empty_passwords() {
    let config = config(&users(&[("u", "p"), ("v", "q"), ("e", "")], None));
    assert_eq!(connect(&config, login("u", "p")).as_deref(), Some("u"));
    assert_eq!(connect(&config, login("e", "")).as_deref(), Some("e"));
    let beside = Credentials {
        token: "x",
        nkey: "x",
        ..login("v", "q")
    };
    assert_eq!(connect(&config, beside).as_deref(), Some("v"));
    for refused in [
        login("", ""),
        login("v", "p"),
        login("e", "x"),
        login("w", ""),
    ] {
        assert_eq!(connect(&config, refused), None);
    }
    assert!(settle(config.check_without_connect(ConnectionType::Standard)).is_none());
}

#[test]
fn a_no_auth_user_stands_for_those_without_credentials() {
    let config = config(&users(&[("u", "p"), ("v", "q")], Some("u")));
    assert!(config.auth_required() && !config.auth_required_in_first_info());
    assert_eq!(connect(&config, login("", "")).as_deref(), Some("u"));
    assert_eq!(connect(&config, login("v", "q")).as_deref(), Some("v"));
    let nkey = Credentials {
        nkey: "x",
        ..Credentials::default()
    };
    assert_eq!(connect(&config, nkey).as_deref(), Some("u"));
    for refused in [login("v", ""), login("", "x"), with_token("x")] {
        assert_eq!(connect(&config, refused), None);
    }
    assert_eq!(
        settle(config.check_without_connect(ConnectionType::Standard)).as_deref(),
        Some("u")
    );
}

#[test]
fn hashes_of_all_kinds_and_lengths() {
    let kinds = ["$2a", "$2b", "$2x", "$2y"].map(|kind| format!("{kind}{HASH_TAIL}"));
    for hash in &kinds {
        let config = config(&users(&[("u", hash), ("bad", "$2a$10$bad")], None));
        assert!(connect(&config, login("u", "s3cret")).is_some(), "{hash}");
        for refused in [
            login("u", "s3cre"),
            login("u", hash),
            login("u", "s3cret\0"),
            login("bad", "$2a$10$bad"),
        ] {
            assert!(connect(&config, refused).is_none(), "{refused:?}");
        }
        // The key schedule repeats the password and its end mark.
        assert!(connect(&config, login("u", "s3cret\0s3cret")).is_some());
    }
    let config = config(&token(&kinds[0]));
    assert!(connect(&config, with_token("s3cret")).is_some());
    assert!(connect(&config, with_token(&kinds[0])).is_none());
}

#[test]
fn only_the_first_72_bytes_count_for_a_hash() {
    let hash = bcrypt::hash("x".repeat(72), 4).unwrap();
    let config = config(&users(&[("u", &hash)], None));
    for (length, accepted) in [(71, false), (72, true), (73, true), (4000, true)] {
        let password = "x".repeat(length);
        let decision = connect(&config, login("u", &password));
        assert_eq!(decision.is_some(), accepted, "{length}");
    }
}

#[test]
fn a_no_auth_user_with_a_hash_lets_nobody_in_unasked() {
    let hash = format!("$2b{HASH_TAIL}");
    let config = config(&users(&[("u", &hash)], Some("u")));
    assert!(!config.auth_required_in_first_info());
    assert!(connect(&config, login("", "")).is_none());
    assert!(settle(config.check_without_connect(ConnectionType::Standard)).is_none());
    assert!(connect(&config, login("u", "s3cret")).is_some());
}

#[test]
fn default_permissions_are_for_users_without_their_own() {
    let mut rules = users(&[("default", "p"), ("empty", "p"), ("own", "p")], None);
    rules.default_permissions = Some(permissions("a"));
    rules.users[1].permissions = Some(PermissionRules::default());
    rules.users[2].permissions = Some(permissions("b"));
    let config = config(&rules);
    for (name, publishes) in [
        ("default", [true, false]),
        ("empty", [true, true]),
        ("own", [false, true]),
    ] {
        let Decision::Accept(identity) = config.check(&login(name, "p")) else {
            panic!("{name} refused");
        };
        let permissions = identity.permissions.as_ref().unwrap();
        let answers = [b"a", b"b"].map(|subject| permissions.can_publish(subject));
        assert_eq!(answers, publishes, "{name}");
    }
}

#[test]
fn errors_read_as_those_of_nats_server() {
    let text = |rules: &AuthRules| AuthConfig::new(rules).unwrap_err().to_string();
    let single = Some(("a".to_owned(), "b".to_owned()));
    let rules = AuthRules {
        single_user: single.clone(),
        ..token("t")
    };
    assert_eq!(text(&rules), "Cannot have a user/pass and token");
    let rules = AuthRules {
        token: Some("t".into()),
        ..users(&[("u", "p")], None)
    };
    assert_eq!(text(&rules), "Can not have a token and a users array");
    let rules = AuthRules {
        single_user: single,
        ..users(&[("u", "p")], None)
    };
    assert_eq!(
        text(&rules),
        "Can not have a single user/pass and a users array"
    );
    assert_eq!(
        text(&users(&[("u", "p"), ("u", "q")], None)),
        "Duplicate user \"u\" detected"
    );
    assert_eq!(
        text(&users(&[("u", "p")], Some("zz"))),
        "no_auth_user: \"zz\" not present as user or nkey in authorization block or account \
         configuration"
    );
    let rules = AuthRules {
        no_auth_user: Some("zz".into()),
        ..token("t")
    };
    assert_eq!(
        text(&rules),
        "no_auth_user: \"zz\" present, but users/nkeys are not defined"
    );
    let mut rules = users(&[("u", "p")], None);
    rules.users[0].permissions = Some(permissions("a..b"));
    assert_eq!(
        text(&rules),
        "user \"u\": subject \"a..b\" is not a valid subject"
    );
}

#[test]
fn no_secret_is_shown() {
    let shown = |rules: &AuthRules| format!("{rules:?} {:?}", config(rules));
    let rules = users(&[("u", "s3cret")], None);
    assert!(!shown(&rules).contains("s3cret"));
    assert!(!shown(&token("s3cret")).contains("s3cret"));
    let hash = format!("$2a{HASH_TAIL}");
    let config = config(&users(&[("u", &hash)], None));
    let job = format!("{:?}", config.check(&login("u", "s3cret")));
    assert!(!job.contains("s3cret") && !job.contains("$2a"));
}
