//! **Duty.** `weighbridge-demo`: two simulated nodes, a live training job, and the whole path from its first step to a
//! verified bundle. **Knows** every room. **Does not know** anything that a real run would not: only the platform under
//! the nodes is simulated. **Spec.** PROTOCOL §9 (c).

mod ambient;
mod audit;
mod checkpoint;
mod cli;
mod cluster;
mod collective;
mod data;
mod error;
mod model;
mod output;
mod progress;
mod ranks;
#[cfg(test)]
mod replay;
mod reporter;
mod seeded;
mod spec;
mod stages;
mod trace;

pub use cli::main;
pub use error::DemoError;
pub use output::{Output, OutputError};
pub use progress::Screen;
pub use ranks::TrainingSummary;
pub use stages::{DemoOutput, Options, run};
