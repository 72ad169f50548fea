//! Which endpoint a target leads to, and what is complained of.

use super::*;
use crate::monitor::{Needs, RequestStats};

fn complaint(target: &str) -> (u16, String) {
    let answer = ask(target);
    assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn bad_values_are_refused_in_the_words_of_nats_server() {
    for (target, text) in [
        (
            "/connz?subs=foo",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"foo\": invalid syntax",
        ),
        (
            "/connz?state=bogus&sort=bogus",
            "Error decoding state for bogus",
        ),
        ("/connz?state=1", "Error decoding state for 1"),
        ("/connz?sort=CID", "invalid sorting option: CID"),
        (
            "/connz?sort=stop&state=any",
            "sort by stop only valid on closed connections",
        ),
        (
            "/connz?sort=reason",
            "sort by reason only valid on closed connections",
        ),
        (
            "/connz?limit=+3",
            "Error decoding int for 'limit': strconv.Atoi: parsing \" 3\": invalid syntax",
        ),
        (
            "/connz?cid=-1",
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        (
            "/subsz?subs=detail",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"detail\": invalid syntax",
        ),
        (
            "/subsz?test=foo.*",
            "invalid test subject, must be valid publish subject: foo.*",
        ),
        (
            "/subsz?test=foo..x",
            "invalid test subject, must be valid publish subject: foo..x",
        ),
        ("/accountz?acc=nope", "Account nope does not exist"),
        (
            "/accstatz?unused=zz",
            "Error decoding boolean for 'unused': strconv.ParseBool: parsing \"zz\": invalid syntax",
        ),
        (
            "/gatewayz?accs=zz",
            "Error decoding boolean for 'accs': strconv.ParseBool: parsing \"zz\": invalid syntax",
        ),
        (
            "/jsz?limit=z",
            "Error decoding int for 'limit': strconv.Atoi: parsing \"z\": invalid syntax",
        ),
        ("/%zz", "400 Bad Request"),
    ] {
        assert_eq!(complaint(target), (400, text.to_owned()), "{target}");
    }
    assert_eq!(
        complaint("/raftz"),
        (404, "No Raft nodes registered".to_owned())
    );
}

#[test]
fn the_first_bad_value_in_the_order_of_nats_server_counts() {
    let target = "/connz?state=bogus&sort=bogus&subs=foo&auth=foo&limit=x&offset=x&cid=x";
    assert!(complaint(target).1.contains("'auth'"));
}

#[test]
fn other_paths_are_not_found() {
    for target in [
        "/nope",
        "/varz/",
        "/connz%3Flimit=1",
        "",
        "*",
        "/favicon.ico",
    ] {
        assert_eq!(
            complaint(target),
            (404, "404 page not found\n".to_owned()),
            "{target}"
        );
    }
    assert_eq!(ask("/%76arz").status, 200);
}

#[test]
fn everything_lies_below_the_base_path() {
    let status = |target| Request::parse(target, "/base").respond(&snapshot()).status;
    assert_eq!(status("/base"), 200);
    assert_eq!(status("/base/varz"), 200);
    for target in ["/base/", "/", "/varz", "/base/nope"] {
        assert_eq!(status(target), 404, "{target}");
    }
}

#[test]
fn requests_are_counted_by_endpoint_also_if_refused() {
    let mut stats = RequestStats::default();
    for target in [
        "/",
        "/varz",
        "/varz?x=1",
        "/connz?limit=x",
        "/subscriptionsz",
        "/nope",
    ] {
        stats.count(&Request::parse(target, ""));
    }
    let counts: Vec<_> = stats.counts().iter().map(|(k, v)| (*k, *v)).collect();
    assert_eq!(
        counts,
        [("/", 1), ("/connz", 1), ("/subsz", 1), ("/varz", 2)]
    );
}

#[test]
fn only_what_is_shown_is_gathered() {
    for target in [
        "/",
        "/varz",
        "/healthz",
        "/routez",
        "/jsz",
        "/connz?limit=x",
        "/nope",
    ] {
        let request = Request::parse(target, "");
        assert_eq!(request.needs(), Needs::default(), "{target}");
    }
    let request = Request::parse("/connz?state=closed", "");
    let needs = request.needs();
    let query = needs.connections.unwrap();
    assert!(!query.state.open() && query.state.closed() && !needs.accounts);
    assert!(Request::parse("/connz?acc=A", "").needs().accounts);
    let keep = |target| {
        let request = Request::parse(target, "");
        request.needs().subscriptions.unwrap().keep()
    };
    assert_eq!(keep("/subsz"), 0);
    assert_eq!(keep("/subsz?subs=1&offset=5&limit=10"), 15);
    assert!(Request::parse("/metrics", "").needs().cores);
}

#[test]
fn json_is_open_to_pages_of_other_origins_and_complaints_are_not() {
    let cors = ("Access-Control-Allow-Origin", "*");
    assert!(ask("/connz").headers.contains(&cors));
    assert!(ask("/healthz").headers.contains(&cors));
    assert!(!ask("/connz?limit=x").headers.contains(&cors));
    assert_eq!(ask("/connz").content_type, "application/json");
    assert_eq!(ask("/").content_type, "text/html; charset=utf-8");
}
