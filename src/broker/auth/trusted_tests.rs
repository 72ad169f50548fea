use nkeys::KeyPair;
use serde_json::json;

use super::*;
use crate::jwt::testing::{NOW, claims, merge, sign, unlimited};
use crate::jwt::{OperatorData, decode};

fn at(seconds: i64) -> Moment {
    Moment {
        unix_ns: seconds * 1_000_000_000,
        local: TimeZone::UTC,
    }
}

struct Tree {
    operator: KeyPair,
    account: KeyPair,
    user: KeyPair,
    trusted: Trusted,
}

impl Tree {
    fn new(account_data: serde_json::Value) -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let token = claims("operator", &operator.public_key(), &operator, json!({}));
        let trusted: Claims<OperatorData> = decode(&sign(&token, &operator)).unwrap();
        let mut tree = Self {
            trusted: Trusted::new(Trust::new([&trusted])),
            user: KeyPair::new_user(),
            operator,
            account,
        };
        tree.renew(account_data);
        tree
    }

    fn renew(&mut self, account_data: serde_json::Value) {
        let mut data = json!({"limits": unlimited()});
        merge(&mut data, account_data);
        let name = self.account.public_key();
        let token = sign(
            &claims("account", &name, &self.operator, data),
            &self.operator,
        );
        self.trusted.set_account(&name, &token, &at(NOW)).unwrap();
    }

    fn job(&self, token: String, sig: &str) -> TokenJob {
        TokenJob {
            trusted: Arc::new(self.trusted.clone()),
            token: token.into(),
            is_sentinel: false,
            sig: sig.into(),
            nonce: "nonce".into(),
            peer: Some("1.2.3.4".parse().unwrap()),
            connection: ConnectionType::Standard,
        }
    }

    fn signature(&self) -> String {
        use base64::Engine as _;
        let signature = self.user.sign(b"nonce").unwrap();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature)
    }

    fn token(&self, by: &KeyPair, data: serde_json::Value) -> String {
        sign(&claims("user", &self.user.public_key(), by, data), by)
    }

    /// With a good signature of the nonce.
    fn login(&self, data: serde_json::Value) -> Result<Arc<Identity>, Refusal> {
        let mut all = json!({"subs": -1, "data": -1, "payload": -1});
        merge(&mut all, data);
        let token = self.token(&self.account, all);
        self.job(token, &self.signature()).run(&at(NOW))
    }

    fn refusal(&self, data: serde_json::Value) -> String {
        self.login(data).unwrap_err().detail
    }
}

#[test]
fn each_refusal_has_its_line() {
    let tree = Tree::new(json!({}));
    let identity = tree.login(json!({})).unwrap();
    assert_eq!(identity.user, tree.user.public_key());
    assert_eq!(*identity.account, tree.account.public_key());
    assert_eq!(identity.issuer_key(), tree.account.public_key());
    for (data, line) in [
        (json!({"src": ["10.0.0.0/8"]}), "Bad src Ip 1.2.3.4"),
        (
            json!({"times": [{"start": "00:00:00", "end": "00:00:01"}]}),
            "Outside connect times",
        ),
        (
            json!({"allowed_connection_types": ["WEBSOCKET"]}),
            "Connection type not allowed",
        ),
        (
            json!({"allowed_connection_types": ["foo"]}),
            "invalid connection types [\"FOO\"]",
        ),
        (
            json!({"src": ["x"]}),
            "User JWT no longer valid: &{Issues:[invalid cidr \"x\" in user src limits]}",
        ),
        (
            json!({"issuer_account": KeyPair::new_account().public_key()}),
            "Account JWT lookup error: account missing",
        ),
        (
            json!({"proxy_required": true}),
            "Proxy is required for this user",
        ),
    ] {
        assert_eq!(tree.refusal(data), line);
    }
    let token = tree.token(&tree.account, json!({}));
    let refusal = |sig: &str| {
        tree.job(token.clone(), sig)
            .run(&at(NOW))
            .unwrap_err()
            .detail
    };
    assert_eq!(refusal(""), "Signature missing");
    assert_eq!(refusal("AAAA"), "Signature not verified");
    let other = KeyPair::new_account();
    let stranger = tree.token(&other, json!({"issuer_account": tree.account.public_key()}));
    let stranger = tree.job(stranger, &tree.signature()).run(&at(NOW));
    assert_eq!(stranger.unwrap_err().detail, "User JWT issuer is not known");
    let none = tree.job("a.b.c".to_owned(), "").run(&at(NOW)).unwrap_err();
    assert_eq!(none.detail, "Authentication requires a user JWT");
}

#[test]
fn bearers_need_no_signature_where_the_account_allows_it() {
    let bearer = json!({"bearer_token": true});
    for (limits, line) in [
        (json!({}), None),
        (
            json!({"disallow_bearer": true}),
            Some("Account does not allow bearer tokens"),
        ),
    ] {
        let tree = Tree::new(json!({"limits": limits}));
        let token = tree.token(&tree.account, bearer.clone());
        let result = tree.job(token, "").run(&at(NOW));
        assert_eq!(
            result.as_ref().err().map(|refusal| refusal.detail.as_str()),
            line
        );
        if let Ok(identity) = result {
            // It would let in whoever reads it.
            assert_eq!(identity.token.as_ref().unwrap().token, None);
        }
    }
}

#[test]
fn revoked_and_pinned_out() {
    let mut tree = Tree::new(json!({}));
    let before = tree.trusted.clone();
    let identity = tree.login(json!({})).unwrap();
    assert_eq!(tree.trusted.dismissal(&before, &identity), None);
    let user = tree.user.public_key();
    tree.renew(json!({"revocations": {user: NOW}}));
    assert_eq!(tree.refusal(json!({})), "User authentication revoked");
    let dismissal = tree.trusted.dismissal(&before, &identity);
    assert_eq!(dismissal, Some(Dismissal::Revoked));

    let account = tree.account.public_key();
    tree.trusted.pin([KeyPair::new_account().public_key()]);
    assert_eq!(
        tree.refusal(json!({})),
        format!("Account {account} not listed as operator pinned account")
    );
    tree.trusted.remove_account(&account);
    let dismissal = tree.trusted.dismissal(&before, &identity);
    assert_eq!(dismissal, Some(Dismissal::Silent));
}

#[test]
fn a_scope_gives_its_permissions_and_nothing_else() {
    let scoped = KeyPair::new_account();
    let template = json!({"pub": {"allow": ["{{name()}}.>"]}, "subs": 2, "payload": 4});
    let scope = json!({"kind": "user_scope", "key": scoped.public_key(), "template": template});
    let mut tree = Tree::new(json!({"signing_keys": [scope]}));
    let issuer = json!({"issuer_account": tree.account.public_key()});
    let token = tree.token(&scoped, issuer.clone());
    let identity = tree.job(token, &tree.signature()).run(&at(NOW)).unwrap();
    let permissions = identity.permissions.as_ref().unwrap();
    assert!(permissions.can_publish(b"some.x") && !permissions.can_publish(b"other.x"));
    let facts = identity.token.as_ref().unwrap();
    assert_eq!(
        (facts.max_subscriptions, facts.max_payload),
        (Some(2), Some(4))
    );

    let mut own = issuer;
    merge(&mut own, json!({"subs": -1}));
    let token = tree.token(&scoped, own);
    let refusal = tree
        .job(token, &tree.signature())
        .run(&at(NOW))
        .unwrap_err();
    assert_eq!(
        refusal.detail,
        "User JWT is not valid: scoped users require no permissions or limits set"
    );
    let before = tree.trusted.clone();
    tree.renew(json!({"signing_keys": [scoped.public_key()]}));
    let dismissal = tree.trusted.dismissal(&before, &identity);
    assert_eq!(dismissal, Some(Dismissal::Silent));
}

#[test]
fn defaults_are_for_users_without_permissions() {
    let defaults = json!({"default_permissions": {"pub": {"deny": ["no"]}}});
    let tree = Tree::new(defaults);
    let may = |data: serde_json::Value| {
        let identity = tree.login(data).unwrap();
        let permissions = identity.permissions.as_ref().unwrap();
        ["no", "a", "b"].map(|subject| permissions.can_publish(subject.as_bytes()))
    };
    assert_eq!(may(json!({})), [false, true, true]);
    assert_eq!(may(json!({"pub": {"allow": ["a"]}})), [false, true, false]);
    assert_eq!(may(json!({"resp": {"max": 1}})), [false, false, false]);
}

#[test]
fn the_earliest_end_counts() {
    let tree = Tree::new(json!({}));
    let ends = |data: serde_json::Value, top: serde_json::Value| {
        let mut token = claims("user", &tree.user.public_key(), &tree.account, data);
        merge(&mut token, top);
        let token = sign(&token, &tree.account);
        let identity = tree.job(token, &tree.signature()).run(&at(NOW)).unwrap();
        identity.token.as_ref().unwrap().expires
    };
    let second = 1_000_000_000;
    assert_eq!(ends(json!({}), json!({})), None);
    let expires = json!({"exp": NOW + 5});
    assert_eq!(
        ends(json!({}), expires.clone()),
        Some(Expiry::User((NOW + 5) * second))
    );
    let times = json!({"times": [{"start": "11:00:00", "end": "12:00:02"}]});
    assert_eq!(ends(times, expires), Some(Expiry::User((NOW + 2) * second)));
}
