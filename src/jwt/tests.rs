use nkeys::KeyPair;
use proptest::prelude::*;
use serde_json::json;

use super::testing::{NOW, claims, merge, sign, unlimited};
use super::*;

#[test]
fn an_operator_vouches_for_an_account_and_that_for_a_user() {
    let operator = KeyPair::new_operator();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let token = claims("operator", &operator.public_key(), &operator, json!({}));
    let trusted: Claims<OperatorData> = decode(&sign(&token, &operator)).unwrap();
    assert!(trusted.issues(NOW).is_empty());
    let trust = Trust::new([&trusted]);

    let name = account.public_key();
    let token = sign(
        &claims("account", &name, &operator, json!({"limits": unlimited()})),
        &operator,
    );
    let claims_of_account = trust.account(&name, &token, NOW).unwrap();
    assert_eq!(claims_of_account.data.limits.conn, -1);
    assert!(claims_of_account.is_issuer(&name, false) && !claims_of_account.is_issuer(&name, true));
    assert_eq!(
        trust.account(&KeyPair::new_account().public_key(), &token, NOW),
        Err(TrustError::Validation)
    );
    let other = KeyPair::new_operator();
    let forged = sign(&claims("account", &name, &other, json!({})), &other);
    assert_eq!(
        trust.account(&name, &forged, NOW),
        Err(TrustError::Validation)
    );
    let mut late = claims("account", &name, &operator, json!({}));
    merge(&mut late, json!({"exp": NOW - 1}));
    assert_eq!(
        trust.account(&name, &sign(&late, &operator), NOW),
        Err(TrustError::Validation)
    );

    let limits = json!({"pub": {"allow": ["a"]}, "subs": 3, "src": ["10.0.0.0/8"]});
    let token = sign(
        &claims("user", &user.public_key(), &account, limits),
        &account,
    );
    let claims_of_user: Claims<UserData> = decode(&token).unwrap();
    assert!(claims_of_user.issues(NOW).is_empty());
    assert_eq!(claims_of_user.account(), name);
    assert_eq!(claims_of_user.data.limits.publish.allow, ["a"]);
    assert_eq!(claims_of_user.data.limits.subs, 3);
    assert_eq!(claims_of_user.data.limits.payload, 0);
}

#[test]
fn strict_operators_sign_with_signing_keys_only() {
    let (operator, signing) = (KeyPair::new_operator(), KeyPair::new_operator());
    let data = json!({"strict_signing_key_usage": true, "signing_keys": [signing.public_key()]});
    let token = claims("operator", &operator.public_key(), &operator, data);
    let trusted: Claims<OperatorData> = decode(&sign(&token, &operator)).unwrap();
    let trust = Trust::new([&trusted]);
    let account = KeyPair::new_account().public_key();
    let by = |key: &KeyPair| {
        let token = sign(&claims("account", &account, key, json!({})), key);
        trust.account(&account, &token, NOW).is_ok()
    };
    assert!(by(&signing) && !by(&operator));
    assert!(trust.is_strict(&signing.public_key()));
}

#[test]
fn version_1_signs_the_claims_only() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"jwt","alg":"ed25519"}"#);
    let body = json!({
        "iss": account.public_key(), "sub": user.public_key(), "type": "user",
        "nats": {"pub": {}, "sub": {}, "src": "10.0.0.0/8, ::1/128"},
    });
    let body = URL_SAFE_NO_PAD.encode(body.to_string());
    let token = |signed: &str| {
        let signature = URL_SAFE_NO_PAD.encode(account.sign(signed.as_bytes()).unwrap());
        decode::<UserData>(&format!("{header}.{body}.{signature}"))
    };
    let claims = token(&body).unwrap();
    assert_eq!(claims.data.limits.sources, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(
        token(&format!("{header}.{body}")),
        Err(TokenError::Signature)
    );
}

#[test]
fn tokens_that_are_none_are_refused() {
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let user = user.public_key();
    let good = sign(&claims("user", &user, &account, json!({})), &account);
    let read = |text: &str| decode::<UserData>(text).map(|_| ());
    assert_eq!(read(&good), Ok(()));
    for text in ["", "a", "a.b", "a.b.c.d"] {
        assert_eq!(read(text), Err(TokenError::Parts), "{text}");
    }
    assert_eq!(read("?.b.c"), Err(TokenError::Encoding));
    assert_eq!(read("bm9uZQ.b.c"), Err(TokenError::Header));
    assert_eq!(
        read(&"x".repeat(TOKEN_BYTES_MAX + 1)),
        Err(TokenError::TooLarge)
    );
    let by = |claims: serde_json::Value| read(&sign(&claims, &account));
    let newer = json!({"version": 3});
    assert_eq!(
        by(claims("user", &user, &account, newer)),
        Err(TokenError::Version)
    );
    let kind = claims("account", &user, &account, json!({}));
    assert_eq!(by(kind), Err(TokenError::Kind));
    let wrong = claims("user", &user, &KeyPair::new_user(), json!({}));
    assert_eq!(by(wrong), Err(TokenError::Issuer));
    let other = claims("user", &user, &KeyPair::new_account(), json!({}));
    assert_eq!(by(other), Err(TokenError::Signature));
    assert_eq!(
        by(claims("user", &user, &account, json!({"subs": "x"}))),
        Err(TokenError::Claims)
    );
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(read(&format!("{signed}.AAAA")), Err(TokenError::Signature));
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let nested = serde_json::Value::String(deep);
    assert_eq!(
        by(claims("user", &user, &account, json!({"tags": nested}))),
        Err(TokenError::Claims)
    );
}

#[test]
fn issues_are_nats_servers() {
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let issues = |nats: serde_json::Value, top: serde_json::Value| {
        let mut token = claims("user", &user.public_key(), &account, nats);
        merge(&mut token, top);
        decode::<UserData>(&sign(&token, &account))
            .unwrap()
            .issues(NOW)
    };
    assert_eq!(
        issues(json!({}), json!({"exp": NOW - 5})),
        ["claim is expired"]
    );
    assert_eq!(
        issues(json!({}), json!({"nbf": NOW + 5})),
        ["claim is not yet valid"]
    );
    assert_eq!(
        issues(json!({"src": ["x"]}), json!({})),
        ["invalid cidr \"x\" in user src limits"]
    );
    assert_eq!(
        issues(
            json!({"times": [{"start": "20:0", "end": "03:59:59"}]}),
            json!({})
        ),
        ["start in time range is invalid \"20:0\""]
    );
}

#[test]
fn revocations_name_users_or_everybody() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let user = KeyPair::new_user().public_key();
    let of = |revocations: serde_json::Value| {
        let nats = json!({"revocations": revocations});
        let token = claims("account", &account.public_key(), &operator, nats);
        let claims: Claims<AccountData> = decode(&sign(&token, &operator)).unwrap();
        [NOW - 1, NOW, NOW + 1].map(|at| claims.is_revoked(&user, at))
    };
    assert_eq!(of(json!({})), [false, false, false]);
    assert_eq!(of(json!({user.clone(): NOW})), [true, true, false]);
    assert_eq!(of(json!({"*": NOW})), [true, true, false]);
    assert_eq!(
        of(json!({KeyPair::new_user().public_key(): NOW})),
        [false, false, false]
    );
}

fn subjects(allow: &[&str], deny: &[&str]) -> SubjectsData {
    let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    SubjectsData {
        allow: own(allow),
        deny: own(deny),
    }
}

fn expanded(allow: &[&str], deny: &[&str]) -> Result<SubjectsData, ScopeError> {
    let tags = ["dept:a", "dept:b", "bad:x y z"].map(str::to_owned);
    let template = UserLimits {
        publish: subjects(allow, deny),
        ..UserLimits::default()
    };
    let with = Expansion {
        user_name: "joe",
        user: "UJOE",
        account_name: "acme",
        account: "AACME",
        user_tags: &tags,
        account_tags: &["region:eu".to_owned()],
    };
    expand(&template, &with).map(|limits| limits.publish)
}

#[test]
fn templates_are_filled_with_names_and_tags() {
    let allow = |list: &[&str]| expanded(list, &[]).unwrap();
    assert_eq!(
        allow(&[
            "{{name()}}.{{ subject() }}.{{account-name()}}.{{account-subject()}}",
            "x"
        ]),
        subjects(&["joe.UJOE.acme.AACME", "x"], &[])
    );
    assert_eq!(
        allow(&["{{tag(dept)}}.{{account-tag(region)}}.{{Tag(DEPT)}}"]),
        subjects(&["a.eu.a", "a.eu.b", "b.eu.a", "b.eu.b"], &[])
    );
    // What cannot be filled in is no permission, and no permission is not all of them.
    for entry in ["{{tag(none)}}", "{{what()}}", "{{tag(bad)}}"] {
        assert_eq!(allow(&[entry]), subjects(&[], &[">"]), "{entry}");
        assert_eq!(allow(&[entry, "x"]), subjects(&["x"], &[]), "{entry}");
        assert!(expanded(&[], &[entry]).is_err(), "{entry}");
    }
}

#[test]
fn scoped_keys_stand_beside_plain_ones() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let [plain, scoped] = [(); 2].map(|()| KeyPair::new_account().public_key());
    let nats = json!({"signing_keys": [plain, {
        "kind": "user_scope", "key": scoped, "role": "r",
        "template": {"pub": {"allow": ["{{name()}}"]}, "subs": 2, "payload": -1},
    }]});
    let token = claims("account", &account.public_key(), &operator, nats);
    let claims: Claims<AccountData> = decode(&sign(&token, &operator)).unwrap();
    assert_eq!(claims.signing_key(&plain).unwrap().scope, None);
    let scope = claims
        .signing_key(&scoped)
        .unwrap()
        .scope
        .as_deref()
        .unwrap();
    assert_eq!((scope.subs, scope.payload), (2, -1));
    assert!(!scope.is_absent() && UserLimits::default().is_absent());
}

proptest! {
    #[test]
    fn no_bytes_pass_for_a_token(text in "[ -~]{0,200}", a in "[A-Za-z0-9_-]{0,80}") {
        prop_assert!(decode::<UserData>(&text).is_err());
        let header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ";
        let text = format!("{header}.{a}.{a}");
        prop_assert!(decode::<AccountData>(&text).is_err());
    }

    /// One changed byte anywhere voids a token.
    #[test]
    fn a_changed_token_is_void(at in any::<prop::sample::Index>(), flip in 1_u8..64) {
        let account = KeyPair::new_account();
        let user = KeyPair::new_user().public_key();
        let good = sign(&claims("user", &user, &account, json!({"tags": ["a"]})), &account);
        let (signed, _) = good.rsplit_once('.').unwrap();
        let at = at.index(signed.len());
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= flip;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(decode::<UserData>(&text).is_err());
        }
    }
}
