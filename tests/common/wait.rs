//! Waiting for something that another process does.

use std::time::{Duration, Instant};

/// The longest that any wait lasts before the test fails. It bounds a hang, it measures nothing:
/// generous, because the tests share their CPUs with everything else on the machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition that cannot be waited for otherwise.
const POLL: Duration = Duration::from_millis(5);

/// Looks at a condition until it yields a value, and returns that.
///
/// Panics after [`DEADLINE`], with `what` was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(POLL);
    }
}
