//! Simulated servers: cores joined by bounded rings, clients with bounded
//! sockets, a virtual clock and a scheduler that delays, batches and cuts
//! everything at will. All of a run derives from one seed; what clients get is
//! checked against a model of the broker's promises.
//!
//! - `RINGWIRE_SIM_SEED=n` runs seed n only, as a failure's message says.
//! - `RINGWIRE_SIM_SEEDS=n` runs n seeds in each test instead of a few hundred.
//! - `RINGWIRE_SIM_START=n` starts with seed n instead of 1.

mod check;
mod client;
mod decode;
mod fault;
mod history;
mod link;
mod node;
mod plan;
mod rng;
mod socket;
mod world;

use check::Promise;
use fault::Fault;
use plan::Plan;
use rng::Rng;
use world::Met;

/// Keeps what a seed says about the plan apart from what it says about the run.
const PLAN_SALT: u64 = 0x0070_6c61_6e00;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs many seeds of one kind of plan. `test` is the calling test's name.
fn simulate(test: &str, seeds: u64, plan: impl Fn(&mut Rng) -> Plan) -> Met {
    let seeds = match variable("RINGWIRE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let start = variable("RINGWIRE_SIM_START").unwrap_or(1);
            start..start + variable("RINGWIRE_SIM_SEEDS").unwrap_or(seeds)
        }
    };
    let mut met = Met::default();
    for seed in seeds {
        let plan = plan(&mut Rng::new(seed ^ PLAN_SALT));
        let replay =
            format!("RINGWIRE_SIM_SEED={seed} cargo test --test simulation {test} -- --nocapture");
        let run = std::panic::catch_unwind(|| world::run(plan.clone(), seed));
        match run {
            Ok(Ok(one)) => met.add(&one),
            Ok(Err(violation)) => {
                panic!("seed {seed}: {violation}\nplan: {plan:?}\nreplay: {replay}")
            }
            Err(panic) => {
                eprintln!("seed {seed} panicked\nplan: {plan:?}\nreplay: {replay}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{test}: {met:?}");
    met
}

/// Whether all seeds ran, so that what they met can be expected.
fn is_whole() -> bool {
    variable("RINGWIRE_SIM_SEED").is_none() && variable("RINGWIRE_SIM_SEEDS").is_none()
}

#[test]
fn one_core() {
    let met = simulate("one_core", 300, |rng| Plan::ordinary(1, rng));
    assert!(!is_whole() || met.no_responders > 0 && met.limits_reached > 0);
}

#[test]
fn two_cores() {
    let met = simulate("two_cores", 450, |rng| Plan::ordinary(2, rng));
    assert!(!is_whole() || met.no_responders > 0 && met.limits_reached > 0);
}

#[test]
fn four_cores() {
    let met = simulate("four_cores", 400, |rng| Plan::ordinary(4, rng));
    assert!(!is_whole() || met.handed_on > 0);
}

#[test]
fn eight_cores() {
    let met = simulate("eight_cores", 250, |rng| Plan::ordinary(8, rng));
    assert!(!is_whole() || met.handed_on > 0);
}

#[test]
fn tiny_rings() {
    let met = simulate("tiny_rings", 300, Plan::tiny_rings);
    assert!(!is_whole() || met.handed_on > 0 && met.no_responders > 0);
}

#[test]
fn full_outboxes() {
    let met = simulate("full_outboxes", 60, Plan::full_outboxes);
    assert!(!is_whole() || met.full_outboxes > 0);
}

#[test]
fn slow_readers() {
    let met = simulate("slow_readers", 250, Plan::slow_readers);
    assert!(!is_whole() || met.cut_off > 0 && met.stalls > 0);
}

#[test]
fn a_seed_is_replayed_exactly() {
    for seed in 1..6 {
        let plan = Plan::ordinary(3, &mut Rng::new(seed));
        let first = world::run(plan.clone(), seed).expect("no violation");
        assert_eq!(world::run(plan, seed).expect("no violation"), first);
    }
}

/// Promises that the checker sees broken over some seeds with a faulty link.
fn broken_by(fault: Fault) -> Vec<Promise> {
    (1..60)
        .filter_map(|seed| {
            let plan = Plan {
                fault: Some(fault),
                unreliable_clients: false,
                ..Plan::ordinary(3, &mut Rng::new(seed))
            };
            world::run(plan, seed).err()
        })
        .map(|violation| violation.promise)
        .collect()
}

#[test]
fn the_checker_notices_a_lost_message() {
    let broken = broken_by(Fault::DropMessage);
    assert!(broken.contains(&Promise::Delivery), "{broken:?}");
    assert!(broken.contains(&Promise::Queue), "{broken:?}");
}

#[test]
fn the_checker_notices_a_message_that_overtakes() {
    let broken = broken_by(Fault::SwapMessages);
    assert!(broken.contains(&Promise::Order), "{broken:?}");
}

#[test]
fn the_checker_notices_a_doubled_message() {
    let broken = broken_by(Fault::RepeatMessage);
    assert!(broken.contains(&Promise::Once), "{broken:?}");
}

#[test]
fn the_checker_notices_an_early_pong() {
    let broken = broken_by(Fault::EarlyApplied);
    assert!(broken.contains(&Promise::Delivery), "{broken:?}");
}
