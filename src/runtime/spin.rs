//! How long an idle core looks for work before it sleeps.

use std::time::Duration;

/// The operator's choice (`--spin`). A wake-up costs some 10 µs, a spinning core a
/// whole CPU: dedicated hosts spin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spin {
    /// Sleep as soon as there is nothing to do.
    #[default]
    None,
    /// Look for so long after the last work.
    For(Duration),
    /// Never sleep.
    Forever,
}

/// Applies a [`Spin`] in a core's loop. Takes clock readings, reads none.
#[derive(Clone, Debug)]
pub struct Spinner {
    policy: Spin,
    /// First idle turn since the last work.
    idle_since: Option<Duration>,
}

impl Spinner {
    pub fn new(policy: Spin) -> Self {
        Self {
            policy,
            idle_since: None,
        }
    }

    /// There was work in this turn.
    pub fn worked(&mut self) {
        self.idle_since = None;
    }

    /// There was none: whether to sleep now. `now` is a monotonic time and asked for
    /// only if the policy needs it.
    pub fn may_sleep(&mut self, now: impl FnOnce() -> Duration) -> bool {
        match self.policy {
            Spin::None => true,
            Spin::Forever => false,
            Spin::For(patience) => {
                let now = now();
                let since = *self.idle_since.get_or_insert(now);
                now.saturating_sub(since) >= patience
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    #[test]
    fn spins_for_its_time_after_the_last_work() {
        let mut spinner = Spinner::new(Spin::For(10 * MICRO));
        assert!(!spinner.may_sleep(|| 100 * MICRO));
        assert!(!spinner.may_sleep(|| 109 * MICRO));
        assert!(spinner.may_sleep(|| 110 * MICRO));
        spinner.worked();
        assert!(!spinner.may_sleep(|| 111 * MICRO));
        assert!(spinner.may_sleep(|| 121 * MICRO));
    }

    #[test]
    fn the_extremes_need_no_clock() {
        assert!(Spinner::new(Spin::None).may_sleep(|| unreachable!()));
        assert!(!Spinner::new(Spin::Forever).may_sleep(|| unreachable!()));
    }
}
