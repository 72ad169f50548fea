//! loadgen pointed at servers that lose, double, reorder, damage, stall,
//! refuse or leave: it has to tell.

mod common;
#[path = "common/fake.rs"]
mod fake;

use common::{LOADGEN, errors, faults, is_sound, loadgen, result};
use fake::Fault;
use std::net::TcpListener;
use std::process::Command;

/// Exactly 500 messages, at a rate that any machine keeps.
const PACED: &[&str] = &[
    "pubsub",
    "--rate",
    "1000",
    "--size",
    "64",
    "--warmup",
    "0",
    "--seconds",
    "0.5",
];

#[test]
fn a_sound_server_gives_a_clean_result() {
    let output = loadgen(&fake::start(|_| Fault::None), PACED);
    let result = result(&output);
    assert!(is_sound(&result), "{result}");
    assert_eq!(result["counts"]["sent"], 500);
    assert_eq!(result["counts"]["received"], 500);
    assert_eq!(result["counts"]["lost"], 0);
    assert_eq!(result["latency"]["count"], 500);
    assert_eq!(result["server"]["version"], "fake");
    assert_eq!(result["pacing"], "open-loop");
}

#[test]
fn losses_doubles_damage_and_reordering_are_counted() {
    let address = fake::start(|index| match index {
        10 | 20 | 21 => Fault::Drop,
        30 | 40 => Fault::Double,
        50 => Fault::Hold,
        60 => Fault::Damage,
        _ => Fault::None,
    });
    let output = loadgen(&address, PACED);
    let result = result(&output);
    assert_eq!(output.status.code(), Some(2));
    let counts = &result["counts"];
    // A damaged message is not the one that was to arrive.
    assert_eq!(counts["lost"], 4, "{counts}");
    assert_eq!(counts["duplicated"], 2, "{counts}");
    assert_eq!(counts["reordered"], 1, "{counts}");
    assert_eq!(counts["damaged"], 1, "{counts}");
}

#[test]
fn what_was_lost_comes_first() {
    let address = fake::start(|index| match index {
        10 => Fault::Drop,
        _ => Fault::None,
    });
    let output = Command::new(LOADGEN)
        .args(PACED)
        .args(["--server", &address, "--quiet"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().next().unwrap().contains("lost"), "{text}");
}

#[test]
fn a_stall_is_in_the_latency_of_all_that_were_due_meanwhile() {
    // Messages 100 to 399 are kept until message 400, which is not sent before
    // its time: 300 ms after message 100 was due.
    let address = fake::start(|index| match index {
        100..400 => Fault::Stall,
        _ => Fault::None,
    });
    let output = loadgen(&address, PACED);
    let result = result(&output);
    assert_eq!(result["counts"]["lost"], 0, "{}", faults(&result));
    assert_eq!(result["latency"]["count"], 500);
    let latency = |name: &str| result["latency"][name].as_u64().unwrap();
    assert!(latency("max") >= 299_000_000, "{}", latency("max"));
    // 60 of 100 messages were stalled, for 150 ms on average.
    assert!(latency("p90") >= 200_000_000, "{}", latency("p90"));
    assert!(latency("p50") >= 40_000_000, "{}", latency("p50"));
}

#[test]
fn a_server_that_leaves_is_named_and_the_rest_reported() {
    let address = fake::start(|index| match index {
        100 => Fault::Leave,
        _ => Fault::None,
    });
    let output = loadgen(&address, PACED);
    let result = result(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(faults(&result).contains("ended"), "{}", faults(&result));
    assert_eq!(result["complete"], false);
    // How many of the hundred were read before the end was seen is open.
    assert!(result["counts"]["sent"].as_u64() >= Some(100), "{result}");
    assert!(result["latency"]["count"].as_u64() > Some(0));
}

#[test]
fn a_server_that_goes_silent_ends_the_run() {
    let address = fake::start(|index| match index {
        0..50 => Fault::None,
        _ => Fault::Drop,
    });
    let arguments = ["pubsub", "--closed", "--warmup", "0", "--seconds", "60"];
    let output = loadgen(&address, &[&arguments[..], &["--patience", "0.3"]].concat());
    let result = result(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        faults(&result).contains("nothing arrived"),
        "{}",
        faults(&result)
    );
    assert_eq!(result["counts"]["received"], 50);
    assert_eq!(result["counts"]["lost"], 1);
}

#[test]
fn all_loads_run_against_the_fake_server() {
    for arguments in [
        &["pubsub", "--asap"][..],
        &["pubsub", "--closed"],
        &["pubsub", "--rate", "5k", "--arrivals", "poisson"],
        &[
            "pubsub",
            "--rate",
            "5k",
            "--arrivals",
            "burst:50",
            "--block",
        ],
        &["echo", "--conns", "1", "--inflight", "7"],
        &["fanout", "--subs", "1", "--closed"],
        &["fanout", "--subs", "1", "--pubs", "3", "--threads", "2"],
        &[
            "fanout",
            "--subs",
            "1",
            "--pubs",
            "3",
            "--asap",
            "--threads",
            "2",
        ],
        &["paced", "--subs", "1", "--rate", "1k"],
        &["pub"],
        &["pub", "--closed", "--conns", "3"],
        &["pub", "--asap", "--size", "5"],
        &["sub"],
        &["connect", "--rate", "200", "--hold", "0.05"],
        &["idle", "--conns", "3", "--settle", "0"],
        &["subs", "--count", "10", "--settle", "0"],
    ] {
        let short = [arguments, &["--warmup", "0", "--seconds", "0.2"]].concat();
        let output = loadgen(&fake::start(|_| Fault::None), &short);
        let result = result(&output);
        assert!(
            is_sound(&result),
            "{arguments:?} {} {}",
            result["counts"],
            faults(&result)
        );
    }
}

#[test]
fn a_rate_that_no_one_can_send_is_named() {
    let arguments = [
        "pub",
        "--rate",
        "1000M",
        "--warmup",
        "0",
        "--seconds",
        "0.2",
    ];
    let patience = ["--patience", "0.2"];
    let output = loadgen(
        &fake::start(|_| Fault::None),
        &[&arguments[..], &patience].concat(),
    );
    let result = result(&output);
    assert_eq!(output.status.code(), Some(2));
    let text = faults(&result);
    assert!(text.contains("behind its own schedule"), "{text}");
}

#[test]
fn refused_credentials_are_named() {
    let address = fake::refusing("-ERR 'Authorization Violation'\r\n");
    let output = loadgen(&address, PACED);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("Authorization Violation"), "{text}");
}

#[test]
fn a_clean_run_ends_with_status_zero() {
    let closed = ["pubsub", "--closed", "--warmup", "0", "--seconds", "0.2"];
    let output = loadgen(&fake::start(|_| Fault::None), &closed);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        faults(&result(&output))
    );
}

#[test]
fn what_is_not_nats_is_named() {
    let address = fake::refusing("HTTP/1.1 400 Bad Request\r\n");
    let output = loadgen(&address, PACED);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("not NATS"), "{}", errors(&output));
}

#[test]
fn nobody_listening_is_a_clear_error() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let output = loadgen(&address, PACED);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("is a server listening there?"), "{text}");
    let output = loadgen("no-such-host.invalid:1", PACED);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("no-such-host"),
        "{}",
        errors(&output)
    );
}

#[test]
fn too_few_file_descriptors_are_named_before_the_run() {
    let address = fake::start(|_| Fault::None);
    let command = format!("ulimit -n 64; exec {LOADGEN} echo --conns 500 --server {address}");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("532 file descriptors"), "{text}");
}

#[test]
fn a_server_command_that_ends_at_once_shows_what_it_said() {
    let output = loadgen("sh -c 'echo bad flag {port} >&2; exit 3'", PACED);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(
        text.contains("did not start") && text.contains("bad flag"),
        "{text}"
    );
}
