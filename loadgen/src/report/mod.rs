//! What a run or a comparison shows: files, terminal, page.
//!
//! Everything here is made from [`crate::result`] alone, after the run; only
//! [`progress`] is called while it goes on.
//!
//! A single run: [`Outputs::check`] before it, [`Outputs::write`] and
//! [`summary`] after it. `compare` and `suite` fill a
//! [`crate::result::Comparison`] and hand it to [`ComparisonOutputs`],
//! [`comparison_table`] and [`suite_table`].

mod compare_page;
mod curves;
mod export;
mod markup;
mod numbers;
mod outputs;
mod page;
mod plot;
pub mod progress;
mod table;
mod terminal;
mod verdict;

pub use export::read_json_lines;
pub use outputs::{ComparisonOutputs, Outputs};
pub use table::{comparison_table, suite_table};
pub use terminal::summary;
