//! A load of a scenario: another one under a name of its own, offered only in
//! a part of the run.

use crate::connection::handshake::Target;
use crate::engine::{CountedBy, Load, Share, Work};
use crate::error::Error;
use crate::result::{Pacing, Parameter, RunResult};
use crate::schedule::Pattern;

pub struct Scene {
    pub name: String,
    /// Seconds from the begin of the run, warm-up included; its end.
    pub seconds: (f64, f64),
    pub work: Box<dyn Work>,
}

impl Work for Scene {
    fn title(&self) -> String {
        format!("{}: {}", self.name, self.work.title())
    }

    fn pacing(&self) -> Pacing {
        self.work.pacing()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.work.parameters();
        let (from, until) = self.seconds;
        if from > 0.0 || until.is_finite() {
            parameters.push(super::parameter(
                "offered",
                format!("{from} s to {until} s"),
            ));
        }
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        self.work.latency_measured()
    }

    fn counted_by(&self) -> CountedBy {
        self.work.counted_by()
    }

    fn pattern(&self) -> Option<Pattern> {
        self.work.pattern()
    }

    fn connections(&self) -> usize {
        self.work.connections()
    }

    fn prepare(&mut self, target: &Target) -> Result<(), Error> {
        self.work.prepare(target)
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        self.work.load(share)
    }

    fn seconds(&self) -> Option<(f64, f64)> {
        Some(self.seconds)
    }

    fn is_aside(&self) -> bool {
        self.work.is_aside()
    }

    fn conclude(&mut self, target: &Target, result: &mut RunResult) {
        self.work.conclude(target, result);
    }
}
