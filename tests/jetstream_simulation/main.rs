//! Whole servers with JetStream: cores joined by bounded rings, one disk that fails in every way,
//! clients that publish, pull and acknowledge, and ends of the server at any step. All of a run
//! derives from one seed; what clients get is checked against a model.
//!
//! - `RINGWIRE_SIM_SEED=n` runs seed n only, as a failure's message says.
//! - `RINGWIRE_SIM_SEEDS=n` runs n seeds in each test instead of the usual.
//! - `RINGWIRE_SIM_START=n` starts with seed n instead of 1.

#[path = "../simulation/decode.rs"]
mod decode;
#[path = "../simulation/fault.rs"]
#[allow(dead_code, reason = "links are sound here")]
mod fault;
#[path = "../simulation/link.rs"]
mod link;
mod model;
#[path = "../simulation/node.rs"]
#[allow(dead_code, reason = "the broker's simulation asks for more")]
mod node;
#[path = "../simulation/rng.rs"]
mod rng;
mod server;
#[path = "../simulation/socket.rs"]
#[allow(dead_code, reason = "the broker's simulation asks for more")]
mod socket;
mod world;

use rng::Rng;
use world::{Met, Plan};

/// Keeps what a seed says about the plan apart from what it says about the run.
const PLAN_SALT: u64 = 0x0070_6c61_6e00;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

fn simulate(test: &str, seeds: u64, plan: impl Fn(&mut Rng) -> Plan) -> Met {
    let seeds = match variable("RINGWIRE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let start = variable("RINGWIRE_SIM_START").unwrap_or(1);
            start..start + variable("RINGWIRE_SIM_SEEDS").unwrap_or(seeds)
        }
    };
    let mut met = Met::default();
    let mut broken = Vec::new();
    for seed in seeds {
        let plan = plan(&mut Rng::new(seed ^ PLAN_SALT));
        let run = std::panic::catch_unwind(|| world::run(plan.clone(), seed));
        let text = match run {
            Ok(Ok(one)) => {
                met.add(&one);
                continue;
            }
            Ok(Err(text)) => text,
            Err(_) => "panicked, see above".to_owned(),
        };
        eprintln!(
            "seed {seed}: {text}\nplan: {plan:?}\nreplay: RINGWIRE_SIM_SEED={seed} cargo test \
             --test jetstream_simulation {test} -- --nocapture\n"
        );
        broken.push(seed);
    }
    assert!(broken.is_empty(), "{test}: broken by seeds {broken:?}");
    println!("{test}: {met:?}");
    met
}

fn is_whole() -> bool {
    variable("RINGWIRE_SIM_SEED").is_none() && variable("RINGWIRE_SIM_SEEDS").is_none()
}

#[test]
#[ignore = "seeds break that are not judged yet: the model or the server"]
fn one_core() {
    let met = simulate("one_core", 100, |rng| Plan::new(1, rng));
    assert!(!is_whole() || met.crashes > 0 && met.duplicates > 0 && met.redeliveries > 0);
}

#[test]
#[ignore = "seeds break that are not judged yet: the model or the server"]
fn two_cores() {
    let met = simulate("two_cores", 100, |rng| Plan::new(2, rng));
    assert!(!is_whole() || met.crashes > 0 && met.duplicates > 0 && met.redeliveries > 0);
}

#[test]
#[ignore = "seeds break that are not judged yet: the model or the server"]
fn four_cores() {
    let met = simulate("four_cores", 100, |rng| Plan::new(4, rng));
    assert!(!is_whole() || met.crashes > 0 && met.refused > 0 && met.confirmed > 0);
}

#[test]
fn a_seed_is_replayed_exactly() {
    for seed in 1..6 {
        let plan = Plan::new(3, &mut Rng::new(seed));
        let first = world::run(plan.clone(), seed);
        assert_eq!(world::run(plan, seed), first);
    }
}
