//! The steps of the hot path, each alone, once for the clock (`hot_path`) and once for
//! callgrind (`instructions`).

mod codec;
mod index;
mod publish;

#[path = "../../tests/allocations/cluster.rs"]
#[allow(dead_code)] // What only the other users of the file need.
mod cluster;

/// One step.
pub struct Case {
    /// What it is, without blanks: a key of the baseline.
    pub name: &'static str,
    /// How often one run takes the step.
    pub operations: u64,
    /// Builds what the step works on, warmed up, and returns a run. Every run costs the same.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

/// All of them.
pub fn all() -> Vec<Case> {
    [codec::CASES, index::CASES, publish::CASES]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}

impl Copy for Case {}

impl Clone for Case {
    fn clone(&self) -> Self {
        *self
    }
}
