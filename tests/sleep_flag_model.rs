//! The flag between a sleeper and its wakers, in all interleavings: the file of the
//! library itself, compiled with loom's atomics in place of the real ones.

mod atomics {
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../src/runtime/sleep_flag.rs"]
#[allow(dead_code)]
mod sleep_flag;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};

use atomics::Ordering;
use sleep_flag::SleepFlag;

/// The eventfd: counts signals, and a wait takes them all.
#[derive(Default)]
struct Signal {
    count: Mutex<usize>,
    raised: Condvar,
}

impl Signal {
    fn raise(&self) {
        *self.count.lock().unwrap() += 1;
        self.raised.notify_one();
    }

    fn wait(&self) {
        let mut count = self.count.lock().unwrap();
        while *count == 0 {
            count = self.raised.wait(count).unwrap();
        }
        *count = 0;
    }
}

/// Wakers publish an item each in a ring of their own (Release, as rtrb does); the
/// sleeper takes all. A lost wake-up leaves the sleeper waiting for ever, which loom
/// reports as a deadlock.
///
/// `preemptions` bounds how often a thread is interrupted against its will, and with
/// it the number of interleavings; `None` tries all.
fn no_wake_up_is_lost(wakers: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let flag = Arc::new(SleepFlag::default());
        let signal = Arc::new(Signal::default());
        let rings: Vec<_> = (0..wakers).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        for ring in &rings {
            let (flag, signal, ring) = (flag.clone(), signal.clone(), ring.clone());
            loom::thread::spawn(move || {
                ring.store(1, Ordering::Release);
                if flag.take_if_asleep() {
                    signal.raise();
                }
            });
        }
        let published = || -> usize { rings.iter().map(|ring| ring.load(Ordering::Acquire)).sum() };
        let mut taken = 0;
        while taken < wakers {
            taken = published();
            if taken == wakers {
                break;
            }
            flag.fall_asleep();
            if published() == taken {
                signal.wait();
            }
            flag.wake_up();
        }
    });
}

#[test]
fn one_waker() {
    no_wake_up_is_lost(1, None);
}

#[test]
fn two_wakers() {
    no_wake_up_is_lost(2, Some(2));
}
