//! **Duty.** `weighbridge-fetch`: asks Intel, AMD and NVIDIA for what they say about chips, politely, and puts the answers
//! into a store. **Knows** the network and the vendors' services. **Does not know** evidence, policy or verdicts: what it
//! brings is a rumour until a scheme has checked it. **Spec.** EVIDENCE §1.7–1.8, §2.3, §3.4; docs/decisions/0052.

mod cli;
mod clock;
mod error;
mod fetcher;
mod http;
mod job;
mod pace;
mod services;

pub use cli::{command_line, main};
pub use clock::{Clock, SystemClock};
pub use error::FetchError;
pub use fetcher::{Answer, Fetcher, Limits};
pub use http::{Ask, Http, HttpError, Reply, Timeouts, Transport};
pub use job::{Fetched, Job, Outcome, fetch};
pub use services::Services;
