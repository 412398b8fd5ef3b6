//! **Duty.** The thin shell of IO around the core: socket, clocks, files, the loop. **Does not know** what an interval
//! means; it drains effects and asks the node. **Spec.** HOUSE §7 rule 3.

mod access;
mod checkpoint_files;
mod clock;
mod collect_loop;
mod confined;
mod metrics;
mod notify;
mod pace;
mod push;
mod randomness;
mod refusals;
mod serve;
mod service;
mod socket;
mod watch;

pub use clock::{Clock, ClockError, SystemClock};
pub use confined::PathError;
pub use serve::{ServeError, serve, serve_reloading, serve_with_clock};
pub use socket::SocketError;
